"""What MkDocs asks for when it builds the site (mkdocs.yml): what is made of the code, and not written by hand."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import griffe

COMMANDS = "<!-- commands -->"
SETTINGS = re.compile(r"<!-- settings: (.*?) -->")
EXAMPLE = re.compile(r"<!-- example: (.+?) -->")
EXAMPLES = Path(__file__).parent.parent / "examples"
KINDS = re.compile(r"<!-- kinds: (\w+) -->")
PUBLIC = "<!-- public -->"
DECISIONS = "<!-- decisions -->"
RECORDS = Path(__file__).resolve().parent.parent / "docs" / "decisions"
TRANSFER_TABLE = "<!-- transfers -->"
_BOUNDED = re.compile(r"Annotated\[(.+?), Field\((.*)\)\]")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    if COMMANDS in markdown:
        from unicorn_hf.cli import main

        markdown = markdown.replace(COMMANDS, "\n".join(reference(main, "unicorn-hf")))
    if PUBLIC in markdown:
        markdown = markdown.replace(PUBLIC, "\n\n".join(_public()))
    if DECISIONS in markdown:
        markdown = markdown.replace(DECISIONS, "\n".join(_decisions()))
    if TRANSFER_TABLE in markdown:
        markdown = markdown.replace(TRANSFER_TABLE, "\n".join(_transfers()))
    markdown = KINDS.sub(lambda found: "\n".join(_kinds(found[1])), markdown)
    markdown = EXAMPLE.sub(lambda found: _example(*found[1].split()), markdown)
    return SETTINGS.sub(lambda found: "\n".join(map(_of_recipe, found[1].split())), markdown)


def _decisions() -> Iterator[str]:
    """All records of decisions as a list of links."""
    for path in sorted(RECORDS.glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        # A number and a dot at the start of an item would begin a list of its own.
        yield f"- [{title.replace('. ', ': ', 1)}]({path.name})"


def _public() -> Iterator[str]:
    """What the package exports, functions first. The keys of a recipe have a page of their own."""
    import unicorn_hf

    for name in sorted(unicorn_hf.__all__, key=lambda name: (name[0].isupper(), name)):
        has_keys = hasattr(getattr(unicorn_hf, name), "model_fields")
        yield f"::: unicorn_hf.{name}" + ("\n    options: {members: false}" if has_keys else "")


def _transfers() -> Iterator[str]:
    """A table of our transfers."""
    from unicorn_hf.core.choices import TRANSFERS

    yield "| `representations.transfer` | v, of a text's u | images at inference | needs images |"
    yield "|---|---|---|---|"
    for name in TRANSFERS.own_names:
        transfer = TRANSFERS.get(name)
        image = "as they are" if transfer.image_formula == "x" else transfer.image_formula
        cells = (f"`{name}`", transfer.formula, image, "yes" if transfer.needs_images else "no")
        yield f"| {' | '.join(map(_cell, cells))} |"


@cache
def _package() -> griffe.Object:
    return griffe.load("unicorn_hf")


def _kinds(registry: str) -> Iterator[str]:
    """The sections that a registry of `unicorn_hf.core.choices` has, those of other packages aside."""
    from unicorn_hf.core import choices

    found = getattr(choices, registry)
    sections = [found.get(name) for name in found.own_names]
    modules = {section.__module__ for section in sections}
    for section in sections:
        shared = [base for base in section.__mro__[1:] if base.__module__ in modules]
        yield _settings(_path(section), bases=map(_path, shared))


def _path(section: type[Any]) -> str:
    return f"{section.__module__}.{section.__name__}".removeprefix("unicorn_hf.")


def _of_recipe(name: str) -> str:
    """A section of a recipe. The keys of one that is made of a registry are those of the choices in it."""
    from unicorn_hf.core import recipe, task
    from unicorn_hf.core.gathered import Filters

    section = getattr(recipe, name, None) or getattr(task, name)
    filters = map(section.registry.get, section.registry.own_names) if issubclass(section, Filters) else ()
    return _settings(_path(section), *(_path(found) for found in filters if found.model_fields))


def _example(file: str, name: str = "") -> str:
    """A file of the examples, or what it defines by this name, as it is there."""
    text = (EXAMPLES / file).read_text(encoding="utf-8").strip()
    if name:
        (node,) = (node for node in ast.parse(text).body if getattr(node, "name", None) == name)
        text = ast.get_source_segment(text, node) or ""
    return f"```{Path(file).suffix.removeprefix('.').replace('py', 'python')}\n{text}\n```"


def _settings(path: str, *more: str, bases: Iterable[str] = ()) -> str:
    """A section of a recipe as a table: its keys, those of its base first, and what the source says about them.

    `more` are sections whose keys are its keys too.
    """
    section = _package()[path]
    found = (key for part in (*bases, path, *more) for key in _package()[part].attributes.values())
    keys = {key.name: key for key in found if key.annotation and "instance-attribute" in key.labels}
    lines = [f"### {section.name}", "", section.docstring.value if section.docstring else "", ""]
    if not keys:
        return "\n".join(lines)
    return "\n".join([*lines, "| key | type | default | |", "|---|---|---|---|", *map(_setting, keys.values()), ""])


def _told(key: griffe.Attribute) -> str:
    """The text of a key, or of the base that it has its name from: a section may only change a default."""
    section = key.parent
    assert isinstance(section, griffe.Class)
    known = (base.attributes.get(key.name) for base in [section, *section.mro()])
    return next((" ".join(found.docstring.value.split()) for found in known if found and found.docstring), "")


def _setting(key: griffe.Attribute) -> str:
    annotation = re.sub(r"(, )?description='.*?'", "", str(key.annotation))
    annotation = re.sub(r"Annotated\[(\w+), (?:NameOf|SectionOf)\(\w+\)\]", r"\1", annotation)
    kind = _BOUNDED.sub(r"\1 (\2)", annotation).replace(", strict=False", "").replace(" (strict=False)", "")
    kind = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " | "), kind).replace(" | ", " or ")
    value = re.sub(r"^Field\(default_factory=(\w+)\)$", r"\1()", str(key.value))
    default = "required" if key.value is None else f"`{_cell(value)}`"
    return f"| `{key.name}` | `{kind}` | {default} | {_cell(_told(key))} |"


def reference(group: click.Group, program: str) -> Iterator[str]:
    """Markdown: a section for each command, with its help, its examples and a table of what it takes."""
    top = click.Context(group, info_name=program)
    for name in group.list_commands(top):
        command = group.get_command(top, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=top)
        told, examples = _help(command)
        yield f"{'#' * (1 + len(program.split()))} {' '.join([*program.split()[1:], name])}\n"
        yield f"{told}\n"
        yield f"```text\n{program} {name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
        yield f"For example:\n\n```bash\n{examples}\n```\n"
        options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
        if options:
            yield "| option | |\n|---|---|"
            yield from (_row(option, context) for option in options)
        yield ""
        if isinstance(command, click.Group):
            yield from reference(command, f"{program} {name}")


def _help(command: click.Command) -> tuple[str, str]:
    """The text of the help, and its examples."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExample:\n")
    return _options_as_code(text.replace("\b\n", "")).strip(), textwrap.dedent(examples).strip()


def _options_as_code(text: str) -> str:
    """Names of options as code, where they are not yet."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", part) for part in parts[::2]]
    return "`".join(parts)


def _row(option: click.Option, context: click.Context) -> str:
    told = [_options_as_code(option.help or "")]
    if isinstance(option.type, click.Choice):
        value = " " + (option.metavar or (option.name or "").upper())
        told.append(f"One of {', '.join(f'`{choice}`' for choice in option.type.choices)}.")
    else:
        value = "" if option.is_flag else f" {option.make_metavar(context).removesuffix(' RANGE')}"
    if option.show_default and not option.is_flag:
        told.append(f"Default: `{option.default}`.")
    if option.required:
        told.append("Required.")
    if option.multiple and "repeatable" not in told[0]:
        told.append("May be given again.")
    names = ", ".join(f"`{name}{value}`" for name in [*option.opts, *option.secondary_opts])
    return f"| {_cell(names)} | {_cell(' '.join(told))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
