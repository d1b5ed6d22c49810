"""Every command and option has help, an example that click takes, and a place in the documentation."""

import inspect
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scripts.docs_hooks import COMMANDS as MARKER
from scripts.docs_hooks import on_page_markdown, reference
from tests.docs.blocks import ROOT, Block, blocks, commands, parse
from unicorn_hf.cli import main

COMMANDS = sorted(main.commands)


def options(name: str) -> list[click.Option]:
    return [option for option in main.commands[name].params if isinstance(option, click.Option)]


def examples(name: str) -> list[list[str]]:
    _, _, shown = inspect.cleandoc(main.commands[name].help or "").partition("\b\nExample:\n")
    return list(commands(shown))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_and_examples_that_are_its_own(name: str) -> None:
    assert len((main.commands[name].help or "").split("\b")[0].split()) > 5
    assert examples(name)
    assert {parse(arguments) for arguments in examples(name)} == {name}


def test_the_list_of_commands_is_not_cut() -> None:
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert "..." not in listed.partition("Commands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_has_help_and_a_name_like_the_others(name: str) -> None:
    for option in options(name):
        assert option.help, f"{name} {option.name}"
        assert option.help[0].isupper() or option.help.split(":")[0].islower(), f"{name} {option.name}: {option.help}"
        assert all(word == word.lower() and "_" not in word for word in option.opts)
        if "--json" in option.opts:
            assert (option.name, option.is_flag) == ("as_json", True)


def test_what_a_program_may_read_comes_as_json() -> None:
    told = {name for name in COMMANDS if any("--json" in option.opts for option in options(name))}
    assert told >= {"calibrate", "doctor", "gap", "inspect", "overlap", "push", "validate"}


def test_the_page_of_the_commands_has_all_of_them() -> None:
    source = (ROOT / "docs" / "cli.md").read_text()
    assert MARKER in source
    page = on_page_markdown(source)
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for name in COMMANDS:
        for option in options(name):
            assert all(f"`{word}" in sections[name] for word in option.opts), f"{name} {option.name}"
        assert all(" ".join(arguments[1:2]) in sections[name] for arguments in examples(name))


def test_a_group_of_commands_is_written_as_it_is() -> None:
    @click.group()
    def group() -> None: ...

    @group.command()
    @click.option("--kind", type=click.Choice(["a", "b"]), default="a", show_default=True, help="Which | one.")
    @click.option("--size", type=click.IntRange(min=1), required=True, help="How many; see `x --size`, or --kind.")
    def make(kind: str, size: int) -> None:
        """Make it.

        \b
        Example:
          tool make --size 3 \\
            --kind b
        """

    assert (
        "\n".join(reference(group, "tool"))
        == inspect.cleandoc("""
        ## make

        Make it.

        ```text
        tool make [OPTIONS]
        ```

        For example:

        ```bash
        tool make --size 3 \\
          --kind b
        ```

        | option | |
        |---|---|
        | `--kind KIND` | Which \\| one. One of `a`, `b`. Default: `a`. |
        | `--size INTEGER` | How many; see `x --size`, or `--kind`. Required. |
    """)
        + "\n"
    )


@pytest.mark.parametrize("block", blocks("bash", "sh", "console"), ids=str)
def test_commands_of_the_documentation_are_taken(block: Block) -> None:
    for arguments in commands(block.code):
        try:
            parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"{block}: unicorn-hf {' '.join(arguments)}: {error.format_message()}")


def test_a_wrong_command_would_be_found(tmp_path: Path) -> None:
    for line in ("unicorn-hf biuld", "unicorn-hf build --captoins 3", "unicorn-hf export x --format lava --out y"):
        (arguments,) = commands(line)
        with pytest.raises(click.UsageError):
            parse(arguments)
    assert list(commands("A=1 unicorn-hf card x > y && unicorn-hf clean \\\n  x  # gone\nls")) == [
        ["card", "x"],
        ["clean", "x"],
    ]
