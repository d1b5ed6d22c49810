"""The code of the documentation: every fenced block of README.md and docs/, and what its mark says about running it.

A block is run by the tests unless an HTML comment stands on the line before it:

    <!-- not run: it needs a GPU -->

Then it is only read: its commands by click, its imports from this package by Python.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from unicorn_hf.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_MARK = r"<!-- (?P<mark>not run: [^\n]+?) -->"
_BLOCK = re.compile(
    rf"(?:^[ ]*{_MARK}\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_ENVIRONMENT = re.compile(r"^(?:[A-Z_]+=\S* +)+")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    language: str
    code: str
    is_run: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        indent = match["indent"]
        code = "\n".join(line.removeprefix(indent) for line in match["code"].splitlines())
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(str(page.relative_to(ROOT)), line, match["language"], code, match["mark"] is None)


def commands(code: str) -> Iterator[list[str]]:
    """The arguments of each call of `unicorn-hf` in shell code."""
    for line in code.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||;|\|(?!\w)", _ENVIRONMENT.sub("", line.strip())):
            if part.strip().startswith("unicorn-hf "):
                yield _until_redirection(shlex.split(part, comments=True)[1:])


def _until_redirection(words: list[str]) -> list[str]:
    redirections = [place for place, word in enumerate(words) if re.match(r"\d?>", word)]
    return words[: redirections[0]] if redirections else words


def parse(arguments: list[str]) -> str:
    """Let click read a command line without running anything; returns the command's name.

    Raises:
        click.UsageError: there is no such command or option, or a value is none of its choices.
    """
    with main.make_context("unicorn-hf", list(arguments), resilient_parsing=False) as context:
        return _parse(main, context, arguments)


def _parse(group: click.Group, context: click.Context, arguments: list[str]) -> str:
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert name and command
    try:
        inner = command.make_context(name, rest, parent=context)
        if isinstance(command, click.Group):
            _parse(command, inner, arguments)
    except click.exceptions.Exit:
        assert {"--help", "--version"} & set(arguments)
    return name
