"""YAML that others wrote: read with the line of every key, within bounds, and refused in one message."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.problems import Location

MAX_BYTES = 16 << 20
MAX_DEPTH = 100
MAX_VALUES = 100_000
"""Aliases counted as often as they stand for something: a few lines of them can mean billions of values."""


def read_yaml_file(path: Path) -> tuple[Any, dict[Location, int]]:
    """As `read_yaml`, of a file.

    Raises:
        InputError: it cannot be read, or is not YAML in UTF-8: the message names file and line.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no recipe and no prompt is")
        return read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def read_yaml(text: str, name: str) -> tuple[Any, dict[Location, int]]:
    """The one document in a text, and the line of each of its values, a key's own line for those that have one.

    Raises:
        InputError: it is not YAML, a key stands twice, or it holds more than `MAX_VALUES` values, or deeper than
            `MAX_DEPTH`.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        # Before anything is made of the text: aliases and merged keys multiply what it stands for.
        lines = dict(_lines(node)) if node else {}
        return (loader.construct_document(node) if node else None), lines
    except yaml.MarkedYAMLError as error:
        place = f"{name}:{error.problem_mark.line + 1}" if error.problem_mark else name
        raise InputError(f"{place}: not valid YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise InputError(f"{name}: not valid YAML: nested too deeply") from error
    except (yaml.YAMLError, ValueError, LookupError, OverflowError) as error:
        # Its constructors let through what Python says of a number or a date that is none.
        raise InputError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error
    finally:
        if loader:
            loader.dispose()


def _lines(root: yaml.Node) -> Iterator[tuple[Location, int]]:
    number = 0
    waiting: list[tuple[Location, yaml.Node, int]] = [((), root, root.start_mark.line + 1)]
    while waiting:
        at, node, line = waiting.pop()
        yield at, line
        number += 1
        if len(at) > MAX_DEPTH:
            raise yaml.YAMLError("nested too deeply, or without end")
        if number > MAX_VALUES:
            raise yaml.YAMLError(f"more than {MAX_VALUES:,} values, those that aliases stand for among them")
        if isinstance(node, yaml.MappingNode):
            waiting += _of_mapping(at, node)
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*at, index), value, value.start_mark.line + 1) for index, value in enumerate(node.value)]


def _of_mapping(at: Location, node: yaml.MappingNode) -> Iterator[tuple[Location, yaml.Node, int]]:
    before: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key is a word, not a list or a mapping", problem_mark=key.start_mark)
        line = key.start_mark.line + 1
        if key.value in before:
            problem = f"the key {key.value} stands here and in line {before[key.value]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        before[key.value] = line
        yield (*at, key.value), value, line
