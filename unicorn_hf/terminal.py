"""Output of the command for a terminal."""

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from unicorn_hf.core.visible import visible_lines

if TYPE_CHECKING:
    from rich.console import Console

    from unicorn_hf.runtime.progress import Progress

_Result = TypeVar("_Result")
_LABEL = re.compile(r" *(?:\S.*?  +)?")


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print for a person; escape control characters, which untrusted sets and files may hold."""
    click.echo(visible_lines(text), err=err, nl=nl)


def columns(elsewhere: int) -> int:
    """The width of the terminal; `elsewhere` if the output goes to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else elsewhere


def wrapped(line: str) -> str:
    """Break a line between words where the terminal ends; what follows stands below the text behind the label.

    A label ends with two blanks. In a file or a pipe, lines stay whole.
    """
    label = _LABEL.match(line)
    indent = " " * len(label[0] if label else "")
    width = max(columns(elsewhere=len(line) + 1), len(indent) + 20)
    parts = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(parts)


def show_or_json(result: _Result, as_json: bool, draw: "Callable[[_Result, Console], None]") -> None:
    """Print as JSON, or draw for a person."""
    from rich.console import Console

    print_json(result) if as_json else draw(result, Console())


def print_json(result: object) -> None:
    """Print a model, dataclass or dictionary in ASCII, so that control characters of a row are escaped."""
    import json

    from pydantic_core import to_jsonable_python

    click.echo(json.dumps(to_jsonable_python(result), indent=2))


@contextmanager
def open_progress() -> Iterator["Progress"]:
    """Progress on stderr: bars in a terminal, else lines."""
    from unicorn_hf.runtime.progress import LiveProgress, PlainProgress

    if sys.stderr.isatty():
        with LiveProgress() as progress:
            yield progress
    else:
        yield PlainProgress()
