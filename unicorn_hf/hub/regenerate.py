"""Regenerate a published set with changes: its recipe and its rows become the recipe of a child.

The recipe in a repository is untrusted, and only allowed keys are applied: see `core.foreign`. With another encoder or
transfer, the child keeps the parent's captions and conversations; with another language model or random seed, the build
writes them again from the seeds in the parent's rows.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from unicorn_hf.builders.repository import RECIPE, STATISTICS, is_build
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.errors import InputError, MissingPackageError
from unicorn_hf.core.foreign import Foreign, flat, refuse_files, taken_over
from unicorn_hf.core.recipe import Recipe, Seeds
from unicorn_hf.core.recipe_file import overridden, read_recipe
from unicorn_hf.hub.fetch import PAPERS, local_folder
from unicorn_hf.seeds.figures import SourceFacts
from unicorn_hf.seeds.sources.dataset import DatasetSource

_WRITES = ("engine", "random_seed", "language", "captions", "instructions")
"""Keys of the recipe, with those below them, that change the text."""
_NUMBERS = ("captions.num", "instructions.num")
"""The exceptions: for fewer rows, the first are taken."""
_ENCODER, _TRANSFER = "representations.encoder", "representations.transfer"
_IMAGES = "representations.image_statistics"
_NOT_CHANGES = ("cluster", "imported", "parent", "plugins", "price", "seeds.sources")


@dataclass(frozen=True)
class Published:
    """The metadata of a published set."""

    name: str
    """`ORG/NAME`, or the absolute path of a folder."""
    revision: str | None
    """The commit; None for a folder."""
    taken: Foreign
    """The applied part of its recipe."""
    statistics: Statistics

    @property
    def recipe(self) -> Recipe:
        """The recipe, with only the allowed keys applied."""
        return self.taken.recipe


def read_published(source: str, revision: str | None = None) -> Published:
    """Read the metadata of a set in a folder or on the Hub.

    Raises:
        InputError: there is no such set, or unicorn-hf did not make it, or a newer version did.
        RunError: the Hub or the network failed.
    """
    is_folder = Path(source).is_dir()
    folder = local_folder(source, revision, patterns=PAPERS)
    if not is_build(folder):
        raise InputError(
            f"{source} is not a data set of unicorn-hf: it has no {RECIPE} and {STATISTICS}",
            "To import other captions: `unicorn-hf import FILES... --out DIR`.",
        )
    try:
        taken = taken_over(read_recipe(folder / RECIPE), folder)
        statistics = read_statistics(folder / STATISTICS)
    except MissingPackageError as error:
        raise MissingPackageError(error.message.replace(str(folder), source), error.advice) from error
    except InputError as error:
        raise unreadable(source, folder, error) from error
    name = str(Path(source).resolve()) if is_folder else source
    return Published(name, None if is_folder else folder.name, taken, statistics)


def unreadable(source: str, folder: Path, error: InputError) -> InputError:
    """The error of the metadata in `folder`, with the name of the set; or that a newer version made the set."""
    made_by, here = _made_by(folder), installed_version("unicorn-hf")
    if made_by and _numbers(made_by) > _numbers(here):
        return InputError(
            f"{source} was made by unicorn-hf {made_by}, whose recipes this version ({here}) does not support",
            "pip install --upgrade unicorn-hf",
        )
    return InputError(f"{source} is damaged: {error.message.replace(str(folder), source)}", "Try: unicorn-hf validate.")


def _made_by(folder: Path) -> str | None:
    try:
        found = json.loads((folder / STATISTICS).read_bytes())["versions"]["unicorn-hf"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and len(found) < 50 else None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", version.split("+")[0])]


def child_recipe(parent: Published, overrides: Mapping[str, object]) -> Recipe:
    """Return the recipe of `parent` with dotted keys set; `build` makes the child.

    The child keeps captions and conversations, unless a key changes the text: one of `engine`, `random_seed`,
    `language`, `captions` or `instructions`, except their numbers. For fewer captions, it takes the first ones. Another
    encoder discards the parent's image statistics.

    Raises:
        InputError: a value is invalid, the parent does not have the requested rows, or its recipe names a file that the
            build would open.
    """
    if any(key.startswith("seeds.") for key in overrides):
        raise InputError("--from provides the seeds", "Omit --seeds, --seed-column and --exclude-benchmarks.")
    writes = any(key.split(".")[0] in _WRITES and key not in _NUMBERS for key in overrides)
    changes = dict(overrides) | _numbers_of_rows(parent, overrides, writes)
    if changes.get(_ENCODER, parent.recipe.representations.encoder) != parent.recipe.representations.encoder:
        changes.setdefault(_IMAGES, None)
    changes["parent"] = {"dataset": parent.name, "revision": parent.revision, "text": "written" if writes else "kept"}
    if writes:
        changes["imported"] = None
        changes["seeds"] = _seeds(parent).model_dump(mode="json")
        if not parent.recipe.engine.writes and not any(key.startswith("engine") for key in overrides):
            raise InputError(
                f"the captions of {parent.name} were imported, so its recipe names no language model",
                "Name a model: --llm MODEL.",
            )
    else:
        _check_vectors(parent, changes)
    recipe = overridden(parent.recipe, changes, f"the recipe of {parent.name}")
    refuse_files(parent.taken, recipe, changes.keys(), parent.name)
    assert recipe.parent
    changed = _changed(parent.recipe, recipe)
    if writes and "engine" not in changed:
        shape_text = [f"engine.{key}" for key in parent.recipe.engine.text_keys]
        changed += tuple(key for key in parent.taken.left if key in shape_text and key not in changed)
    return recipe.model_copy(update={"parent": recipe.parent.model_copy(update={"changed": changed})})


def _numbers_of_rows(parent: Published, overrides: Mapping[str, object], writes: bool) -> dict[str, object]:
    """The number of conversations for the requested captions."""
    wanted = overrides.get("captions.num")
    num_captions, num_instructions = parent.recipe.captions.num, parent.recipe.instructions.num
    if not writes:
        for key, number in {"captions.num": num_captions, "instructions.num": num_instructions}.items():
            asked = overrides.get(key)
            if isinstance(asked, int) and asked > number:
                raise InputError(
                    f"{parent.name} has {number:,} {key.split('.')[0]}, but {asked:,} are requested",
                    "To write more: --llm MODEL, or --random-seed N with the same model.",
                )
    if not isinstance(wanted, int) or "instructions.num" in overrides:
        return {}
    in_proportion = wanted * num_instructions // num_captions
    return {"instructions.num": in_proportion if writes else min(wanted, num_instructions)}


def _check_vectors(parent: Published, changes: Mapping[str, object]) -> None:
    encoder = parse_encoder(str(changes.get(_ENCODER, parent.recipe.representations.encoder)))
    if parent.recipe.representations.moves_texts and not encoder.encodes:
        raise InputError(
            f"the vectors of {parent.name} were imported and then moved by a transfer: the original ones are unknown",
            "Encode the captions: --encoder ENCODER.",
        )


def _seeds(parent: Published) -> Seeds:
    """The seeds in the parent's rows, one source per domain."""
    return Seeds(
        sources=tuple(
            DatasetSource(
                kind="dataset",
                path=parent.name,
                revision=parent.revision,
                data_files="pretrain/*.parquet",
                column="seed",
                where={"domain": domain},
                domain=domain,
            ).model_copy(update=_known(parent.statistics.seeds.sources, domain))
            for domain in parent.statistics.pretrain.per_domain
        )
    )


def _known(sources: tuple[SourceFacts, ...], domain: str) -> dict[str, object]:
    """Name, licence and benchmark of a domain's seeds, from the sources with this domain."""
    here = [source for source in sources if source.domain == domain and source.num_seeds] or list(sources)
    licenses = dict.fromkeys(source.license for source in here)
    benchmarks = {source.benchmark for source in here}
    return {
        "name": ", ".join(dict.fromkeys(source.name for source in here)) or domain,
        "license": " and ".join(licenses) or "unknown",
        "benchmark": benchmarks.pop() if len(benchmarks) == 1 else None,
    }


def _changed(parent: Recipe, child: Recipe) -> tuple[str, ...]:
    """The dotted keys whose values differ, except those of cluster, price and origin of the rows.

    Engines of different kinds have different keys: then `engine` is named alone.
    """
    before, after = (flat(recipe.model_dump(mode="json")) for recipe in (parent, child))
    keys = [key for key in dict.fromkeys([*after, *before]) if before.get(key) != after.get(key)]
    if parent.engine.kind != child.engine.kind:
        keys = list(dict.fromkeys("engine" if key.startswith("engine.") else key for key in keys))
    return tuple(key for key in keys if not any(key == left or key.startswith(f"{left}.") for left in _NOT_CHANGES))
