"""Filters the recipe of a published set, which a stranger may have written.

A build from a published recipe must not let it choose what this machine opens, runs, requests, sends or pays. So only
the keys of `TAKEN` are read, and all others are ignored. Of values that may name a file of this machine, only the name
is kept: see `Foreign.files`.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unicorn_hf.core.choices import CAPTION_FILTERS, CONVERSATION_FILTERS, ENGINES, SOURCES, TASKS
from unicorn_hf.core.encoder import parse_encoder, published_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.model_source import DEMO, is_hub_name, published_name
from unicorn_hf.core.prompts import is_bundled
from unicorn_hf.core.published import TRANSFER_FILE, prompt_folders, published_file
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.registry import Registry
from unicorn_hf.core.section import Kind
from unicorn_hf.core.sources import is_shipped

RECIPE_FILE, STATISTICS_FILE = "recipe.yaml", "statistics.json"


def _below(*sections: str, keys: str) -> tuple[str, ...]:
    return tuple(f"{section}.{key}" for section in sections for key in keys.split())


_SAMPLING = "temperature top_p repetition_penalty max_tokens"
TAKEN: Mapping[str, tuple[str, ...]] = {
    "it says what the set is, in its card": (
        *("name", "title", "note", "language", "plugins"),
        *_below("seeds.sources", keys="name domain license benchmark"),
        *_below("imported", keys="domain license column"),
        *_below("imported.files", keys="sha256 num_rows"),
        *_below("parent", keys="revision changed text"),
    ),
    "it decides which seeds become text": (
        *_below("seeds", keys="exclude_benchmarks languages min_characters max_characters"),
        *_below("seeds.sources", keys="kind limit weight"),
    ),
    "it decides what text is written, and which of it is kept": (
        "random_seed",
        "engine.kind",
        *_below("captions", keys="num captions_per_seed max_attempts_per_caption max_rejected"),
        *_below("captions.sampling", "instructions.sampling", keys=_SAMPLING),
        *_below("captions.near_duplicates", keys="threshold shingle_words num_hashes semantic_threshold"),
        *_below("captions.screen", "instructions.judge", keys="min_score"),
        *_below("instructions", keys="num attempts max_rejected"),
    ),
    "it decides how vectors are made of the text": _below("representations", keys="long_captions transfer dtype"),
    "it is the shape of the published shards": (
        "partition_rows",
        *_below("representations", keys="batch_size"),
        *_below("packaging", keys="rows_per_shard row_group_rows messages"),
    ),
}
"""Keys that are read, by the reason why that is safe. Classes of engines and sources add theirs in `taken_keys`;
those of tasks and filters are `keys_of_choices`."""

LEFT: Mapping[str, tuple[str, ...]] = {
    "a scheduler can run code here": _below("cluster", keys="kind workers partition_timeout_s dashboard"),
    "it decides what you spend": _below(
        "price", keys="currency per_million_prompt_tokens per_million_output_tokens per_worker_hour batch_rate"
    ),
}
"""Keys that are ignored, by the reason; keys in no table are ignored too."""

KINDS: Mapping[str, Registry[Any]] = {"engine": ENGINES, "seeds.sources": SOURCES}
"""Sections of several kinds, whose classes declare which keys are read, and which name files."""


@cache
def keys_of_choices() -> frozenset[str]:
    """Keys of all tasks and filters that are read: they decide which text is kept."""
    tasks = [f"instructions.tasks.{name}" for name in TASKS.loadable()]
    found = [*_below(*tasks, keys="weight pairs.min pairs.max format filters.without filters.keep_rest")]
    found += _bounds("captions.filters", CAPTION_FILTERS)
    for task in tasks:
        found += _bounds(f"{task}.filters", CONVERSATION_FILTERS)
    return frozenset(found)


def _bounds(section: str, registry: Registry[Any]) -> Iterator[str]:
    """The harmless bounds of filters: a number opens nothing, a text might."""
    for name, one in registry.loadable().items():
        above = f"{section}.{name}" if ":" in name else section
        for key, field in one.model_fields.items():
            if field.annotation in (bool, int, float) or key in one.taken_keys:
                yield f"{above}.{key}"


@dataclass(frozen=True)
class Foreign:
    """The safe part of a published recipe."""

    recipe: Recipe
    left: tuple[str, ...]
    """Ignored keys."""
    files: Mapping[str, str]
    """Files that it names, by key. `recipe` holds at most their base names."""

    @property
    def told(self) -> str:
        """A line that lists the ignored keys; empty if there are none."""
        if not self.left:
            return ""
        return f"ignored keys of the published recipe: {', '.join(self.left)}. Set your own with options or --set"


def is_of_a_set(recipe_file: Path) -> bool:
    """Whether a recipe is part of a published set, and so may be a stranger's."""
    # In doubt, the recipe counts as a stranger's.
    return recipe_file.name == RECIPE_FILE and os.path.lexists(recipe_file.parent / STATISTICS_FILE)


def taken_over(recipe: Recipe, folder: Path) -> Foreign:
    """The safe part of the recipe of the published set in `folder`; opens no file that it names.

    Raises:
        InputError: its encoder's name is invalid, or a choice of another package requires an ignored key.
    """
    files: dict[str, str] = {}
    data = recipe.model_dump(mode="json")
    try:
        taken = Recipe.model_validate(_filtered(data, "", data, folder.resolve(), files))
    except ValidationError as error:
        # All required keys of ours are read.
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"the published recipe requires {key}, which is ignored in published recipes") from error
    after = flat(taken.model_dump(mode="json"))
    left = dict.fromkeys(_key_of(key) for key, value in flat(data).items() if after.get(key) != value)
    return Foreign(taken, tuple(key for key in left if key not in _can_name_a_file() and key not in files), files)


def refuse_files(foreign: Foreign, recipe: Recipe, given: Collection[str], name: str) -> None:
    """Raise an `InputError` if a build of `recipe` would open a file that the published recipe of `name` names.

    `recipe` is the safe part of that recipe with the dotted keys `given` set by the user.
    """
    for key in foreign.files:
        if _opens(recipe, key) and not any(key == own or key.startswith(f"{own}.") for own in given):
            refuse_file(foreign, key, name)


def refuse_file(foreign: Foreign, key: str, name: str) -> None:
    """Raise an `InputError` if `key` of the published recipe of `name` names a file."""
    if key in foreign.files:
        raise InputError(
            f"the recipe of {name} names the file {foreign.files[key]!r} as {key}; files that a published recipe names"
            " are never opened",
            _ADVICE.get(key) or _ADVICE.get(key.rpartition(".")[0]) or f"Choose your own: --set {key}=FILE",
        )


def flat(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The values of a dumped recipe, by dotted key."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


def _filtered(value: Any, key: str, section: Mapping[str, Any], folder: Path, files: dict[str, str]) -> Any:
    """The safe part of `value`, or `_NOT_TAKEN`."""
    if key in _can_name_a_file():
        named = _file_named(key, value, folder)
        if named is None:
            return value
        files.setdefault(key, str(value))
        return named
    if key in _TAKEN_KEYS or key in keys_of_choices():
        return value
    above, _, name = key.rpartition(".")
    if above in KINDS:
        return _of_a_kind(KINDS[above].get(section["kind"]), name, value, key, files)
    if isinstance(value, Mapping):
        above = f"{key}." if key else ""
        inner = {name: _filtered(item, f"{above}{name}", value, folder, files) for name, item in value.items()}
        return {name: item for name, item in inner.items() if item is not _NOT_TAKEN}
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return [_filtered(item, key, item, folder, files) for item in value]
    return _NOT_TAKEN


def _of_a_kind(kind: type[Kind], name: str, value: Any, key: str, files: dict[str, str]) -> Any:
    """As `_filtered`, by the class's declaration for its key `name`."""
    if name in kind.taken_keys:
        return value
    if name not in (*kind.file_keys, *kind.hub_keys):
        return _NOT_TAKEN
    if value is None:
        return None
    value = str(value)
    is_demo = value.startswith(DEMO) and not os.path.lexists(value)
    if is_shipped(value) if name in kind.file_keys else (is_hub_name(value) or is_demo):
        return value
    files.setdefault(key, value)
    return Path(value).name if name in kind.file_keys else published_name(value)


def _key_of(dotted: str) -> str:
    """The recipe's key that contains a dotted key."""
    for section in KINDS:
        if dotted.startswith(f"{section}."):
            return f"{section}.{dotted.removeprefix(f'{section}.').partition('.')[0]}"
    return dotted


_NOT_TAKEN = object()
_TAKEN_KEYS = frozenset(key for keys in TAKEN.values() for key in keys)


def _opens(recipe: Recipe, key: str) -> bool:
    """Whether a build of the recipe opens what `key` names."""
    section, _, name = key.rpartition(".")
    if section == "engine":
        return not recipe.takes_text and name in (*recipe.engine.file_keys, *recipe.engine.hub_keys)
    if key == "imported.files.path":
        return recipe.takes_text and recipe.parent is None
    if key == "parent.dataset":
        return recipe.takes_text
    return key.startswith("representations.") or not recipe.takes_text


@cache
def _can_name_a_file() -> frozenset[str]:
    named = ("representations.encoder", "representations.image_statistics", "imported.files.path", "parent.dataset")
    return frozenset({*named, *prompt_folders()})


def _file_named(key: str, value: Any, folder: Path) -> str | None:
    """The base name of the file that a value of `_can_name_a_file` names, which must not be opened; else None."""
    match key:
        case "representations.encoder":
            return published_encoder(value) if parse_encoder(value).names_file else None
        case "representations.image_statistics":
            # The set's own file holds the image statistics.
            return None if value is None or Path(value) == folder / TRANSFER_FILE else TRANSFER_FILE
        case "imported.files.path":
            return published_file(Path(value))
        case "parent.dataset":
            return None if is_hub_name(value) else published_name(value)
    is_file = isinstance(value, str) and not is_bundled(value, prompt_folders()[key])
    return Path(value).name if is_file else None


_ADVICE = {
    "engine.model": "Choose a model: --llm MODEL",
    "representations.encoder": "Choose an encoder: --encoder ENCODER",
    "representations.image_statistics": "Choose your own: --image-statistics FILE",
    "seeds.sources": "Use --from for the seeds in the rows of the set, or --seeds FILE for your own.",
    "imported.files.path": "Use --from for the rows of the set.",
    "parent.dataset": "Use --from for the rows of the set.",
}
