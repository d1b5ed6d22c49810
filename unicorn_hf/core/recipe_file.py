"""Reads recipe files: YAML in, a validated `Recipe` out, with messages that name the line of each error."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from unicorn_hf.core.choices import SOURCES
from unicorn_hf.core.errors import InputError, MissingPackageError
from unicorn_hf.core.foreign import is_of_a_set, refuse_files, taken_over
from unicorn_hf.core.links import check_links
from unicorn_hf.core.plugins import to_install
from unicorn_hf.core.problems import Location, Problem, problems
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.sources import PACKAGE_PREFIX
from unicorn_hf.core.yaml_text import read_yaml_file

BUNDLED = Path(__file__).parent.parent / "recipes"
YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Document:
    """A recipe's YAML, not yet validated, with the line of every key."""

    name: str
    data: dict[str, Any]
    lines: Mapping[Location, int] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    """Dotted keys that options override."""

    @property
    def engine_kind(self) -> str:
        """The kind of the engine, or an empty string."""
        kind = _inside(self.data, "engine").get("kind")
        return kind if isinstance(kind, str) else ""

    def overridden(self, overrides: Mapping[str, object]) -> "Document":
        """The document with dotted keys set.

        Raises:
            InputError: the parent of a key is not a mapping.
        """
        data = self.data
        for key, value in overrides.items():
            data = _with(data, key.split("."), value)
        return replace(self, data=data, given=tuple(overrides))


def bundled_names() -> list[str]:
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def load_recipe(
    name_or_path: str | Path | Document = "demo",
    overrides: Mapping[str, object] | None = None,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> Recipe:
    """Read and validate a recipe, to build from it.

    From the recipe of a published set, only keys that a stranger may set are read: see `core.foreign`.

    Args:
        name_or_path: a bundled recipe's name, the path of a YAML file, or the result of `read_document`. Paths in the
            file (of seeds, of prompts, and of models that begin with a dot) are relative to it.
        overrides: dotted keys and their values, e.g. `{"captions.num": 3000}`; applied before validation.
        tell: receives a line that lists the ignored keys of a published recipe.

    Raises:
        InputError: the recipe does not exist or is invalid: the message names line, key and nearest valid name. Or it
            belongs to a published set, and names a file that the build would open.
    """
    document = name_or_path if isinstance(name_or_path, Document) else read_document(name_or_path)
    path, given = Path(document.name), overrides or {}
    if not is_of_a_set(path):
        return validate(document.overridden(given))
    check_links(path.parent)
    foreign = taken_over(validate(document), path.parent)
    if foreign.told:
        tell(foreign.told)
    recipe = overridden(foreign.recipe, given, document.name) if given else foreign.recipe
    refuse_files(foreign, recipe, given, document.name)
    return recipe


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe unchanged, to inspect it, not to build from it.

    Raises:
        InputError: as for `load_recipe`.
    """
    return validate(read_document(name_or_path))


def overridden(recipe: Recipe, overrides: Mapping[str, object], name: str) -> Recipe:
    """A recipe with dotted keys set.

    Raises:
        InputError: it is invalid; the message calls the recipe `name`.
    """
    return validate(Document(name, recipe.model_dump(mode="json")).overridden(overrides))


def read_document(name_or_path: str | Path) -> Document:
    path = _find(name_or_path)
    data, lines = read_yaml_file(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: a recipe is a mapping with the keys {', '.join(Recipe.model_fields)}")
    return Document(str(path), _anchored(data, path.parent.resolve()), lines)


def validate(document: Document) -> Recipe:
    try:
        return Recipe.model_validate(document.data)
    except ValidationError as error:
        found = problems(Recipe, document.data, error)
        text = "\n".join(f"{_place(document, problem)}: {problem.text}" for problem in found)
        if advice := to_install(filter(None, (problem.package for problem in found)), document.data):
            raise MissingPackageError(text, advice) from None
        raise InputError(text, next((problem.advice for problem in found if problem.advice), "")) from None


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, including defaults."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def _find(name_or_path: str | Path) -> Path:
    if str(name_or_path) in bundled_names():
        return BUNDLED / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    is_path = path.suffix in YAML_SUFFIXES
    near = get_close_matches(path.stem if is_path else str(path), bundled_names(), n=1)
    if is_path and path.parent.is_dir():
        here = [other.name for other in path.parent.iterdir() if other.suffix in YAML_SUFFIXES]
        near = [str(path.with_name(name)) for name in get_close_matches(path.name, here, n=1)] or near
    hint = f"Did you mean {near[0]}? " if near else ""
    if name_or_path and path.is_dir():
        hint = f"To build from the set in this folder, use --from {shlex.quote(str(path))}. "
    raise InputError(
        f"no recipe file {path}" if is_path else f"unknown recipe {str(name_or_path)!r}",
        f"{hint}Bundled recipes: {', '.join(bundled_names())}; or give the path of a .yaml file.",
    )


def _anchored(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make paths absolute, so that a recipe works from every working directory."""
    sources = _inside(data, "seeds").get("sources")
    for source in sources if isinstance(sources, list) else []:
        kind = source.get("kind") if isinstance(source, dict) else None
        for key in SOURCES.get(kind).file_keys if isinstance(kind, str) and kind in SOURCES else ():
            _anchor(source, key, folder, lambda path: not path.startswith(PACKAGE_PREFIX))
    files = _inside(data, "imported").get("files")
    for file in files if isinstance(files, list) else []:
        if isinstance(file, dict):
            _anchor(file, "path", folder, lambda path: True)
    _anchor(_inside(data, "parent"), "dataset", folder, lambda path: path.startswith(("./", "../")))
    tasks = _inside(_inside(data, "instructions"), "tasks")
    judge, screen = _inside(_inside(data, "instructions"), "judge"), _inside(_inside(data, "captions"), "screen")
    for section in (_inside(data, "captions"), screen, judge, *(_inside(tasks, task) for task in tasks)):
        _anchor(section, "prompt", folder, lambda prompt: prompt.endswith(YAML_SUFFIXES))
    _anchor(_inside(data, "representations"), "image_statistics", folder, lambda path: True)
    _anchor(_inside(data, "engine"), "model", folder, lambda model: model.startswith(("./", "../")))
    return data


def _inside(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _anchor(section: dict[str, Any], key: str, folder: Path, is_path: Callable[[str], bool]) -> None:
    value = section.get(key)
    if isinstance(value, str) and is_path(value):
        section[key] = str(folder / Path(value).expanduser())


def _with(data: dict[str, Any], keys: list[str], value: object) -> dict[str, Any]:
    key, *rest = keys
    if rest and not isinstance(data.get(key), dict | None):
        raise InputError(f"the recipe's key {key} is not a mapping and has no key {'.'.join(rest)}")
    return {**data, key: _with(data.get(key) or {}, rest, value) if rest else value}


def _touches(key: list[str], location: Location) -> bool:
    """Whether one of the two equals or contains the other."""
    return all(part == str(other) for part, other in zip(key, location, strict=False))


def _place(document: Document, problem: Problem) -> str:
    location = problem.location
    if any(_touches(key.split("."), location) for key in document.given):
        return f"{document.name} with the options given"
    while location and location not in document.lines:
        location = location[:-1]
    return f"{document.name}:{document.lines[location]}" if location else document.name
