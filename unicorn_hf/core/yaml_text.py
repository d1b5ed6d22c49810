"""Reads untrusted YAML: keeps the line of every key, enforces limits, and reports errors in one message."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.problems import Location

MAX_BYTES = 16 << 20
MAX_DEPTH = 100
MAX_VALUES = 100_000
"""Counts each use of an alias: a few lines of them can mean billions of values."""


def read_yaml_file(path: Path) -> tuple[Any, dict[Location, int]]:
    """As `read_yaml`, for a file.

    Raises:
        InputError: it cannot be read, or is not YAML in UTF-8: the message names file and line.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, too large for a recipe or prompt")
        return read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def read_yaml(text: str, name: str) -> tuple[Any, dict[Location, int]]:
    """The document in a text, and the line of each value (the line of its key, if it has one).

    Raises:
        InputError: it is not YAML, has a duplicate key, or exceeds `MAX_VALUES` or `MAX_DEPTH`.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        # Check the limits before construction: aliases and merged keys multiply values.
        lines = dict(_lines(node)) if node else {}
        return (loader.construct_document(node) if node else None), lines
    except yaml.MarkedYAMLError as error:
        place = f"{name}:{error.problem_mark.line + 1}" if error.problem_mark else name
        raise InputError(f"{place}: not valid YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise InputError(f"{name}: not valid YAML: nested too deeply") from error
    except (yaml.YAMLError, ValueError, LookupError, OverflowError) as error:
        # Constructors of invalid numbers and dates raise Python's errors.
        raise InputError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error


def _lines(root: yaml.Node) -> Iterator[tuple[Location, int]]:
    number = 0
    waiting: list[tuple[Location, yaml.Node, int]] = [((), root, root.start_mark.line + 1)]
    while waiting:
        at, node, line = waiting.pop()
        yield at, line
        number += 1
        if len(at) > MAX_DEPTH:
            raise yaml.YAMLError("nested too deeply, or recursive")
        if number > MAX_VALUES:
            raise yaml.YAMLError(f"more than {MAX_VALUES:,} values, with aliases expanded")
        if isinstance(node, yaml.MappingNode):
            waiting += _of_mapping(at, node)
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*at, index), value, value.start_mark.line + 1) for index, value in enumerate(node.value)]


def _of_mapping(at: Location, node: yaml.MappingNode) -> Iterator[tuple[Location, yaml.Node, int]]:
    before: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key is a list or a mapping", problem_mark=key.start_mark)
        line = key.start_mark.line + 1
        if key.value in before:
            problem = f"duplicate key {key.value}, also in line {before[key.value]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        before[key.value] = line
        yield (*at, key.value), value, line
