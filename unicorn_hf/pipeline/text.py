"""Captions and conversations of a build: those that an engine writes, and those of files or of the parent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unicorn_hf.cards.statistics import (
    SeedFacts,
    SourceFacts,
)
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.core.recipe import (
    EchoEngine,
    Engine,
    ImportedFile,
    Recipe,
)
from unicorn_hf.engines.specs import GeneratorSpec
from unicorn_hf.interchange.importing import Taken
from unicorn_hf.reading.files import DataFile
from unicorn_hf.runtime.generation import Counts, Usage
from unicorn_hf.runtime.selection import Picked


@dataclass(frozen=True)
class Text:
    """Captions and conversations of a build, and what is known of how they came about."""

    recipe: Recipe
    """With what was found out on the way."""
    captions: list[Picked]
    instructions: dict[str, list[Picked]]
    seeds: SeedFacts
    model_license: str | None
    caption_counts: Counts
    instruction_counts: Counts
    left_out: Sequence[LeftOut] = ()
    caption_usage: Usage = field(default_factory=Usage)
    instruction_usage: Usage = field(default_factory=Usage)
    vectors: Callable[[str], Path | None] | None = None


def no_generator(engine: Engine) -> GeneratorSpec:
    """For text that is there already: the engine that wrote it, which is not started."""
    name = "echo" if isinstance(engine, EchoEngine) else engine.model
    return GeneratorSpec(engine, "", name, fingerprint(engine), deterministic=True)


def imported_seeds(recipe: Recipe, taken: Taken) -> SeedFacts:
    """The files in the place of sources; their captions have no seeds, or seeds that are told in the rows."""
    assert recipe.imported
    sources = tuple(
        SourceFacts(
            name=file.name,
            domain=recipe.imported.domain,
            license=recipe.imported.license,
            num_seeds=file.num_captions,
        )
        for file in taken.record.files
    )
    return SeedFacts(num_seeds=taken.record.captions.num_kept, sources=sources, skipped={})


def imported_recipe(recipe: Recipe, files: Sequence[DataFile], taken: Taken) -> Recipe:
    """The recipe with the numbers that the files turned out to hold, and what they were.

    Raises:
        InputError: they hold one caption, and the transfer takes several.
    """
    transfer = recipe.representations.transfer
    if transfer != "none" and taken.num_captions < 2:
        raise InputError(
            f"1 caption in {', '.join(file.name for file in files)}, and {transfer} takes 2 or more: one alone is its "
            "own mean",
            "--transfer none keeps it.",
        )
    changes: dict[str, object] = {
        "captions": recipe.captions.model_copy(update={"num": taken.num_captions}),
        "instructions": recipe.instructions.model_copy(update={"num": taken.num_instructions}),
    }
    if recipe.imported and not recipe.parent:
        found = tuple(
            ImportedFile(path=str(file.path), sha256=count.sha256, num_rows=count.num_rows)
            for file, count in zip(files, taken.record.files, strict=True)
        )
        changes["imported"] = recipe.imported.model_copy(update={"files": found})
    return Recipe.model_validate(recipe.model_copy(update=changes).model_dump())


def cut(counts: Counts, num: int) -> Counts:
    """The counts of an import of which `num` rows are used: the others are no candidates."""
    return counts.model_copy(update={"num_kept": num, "num_candidates": counts.num_candidates - counts.num_kept + num})
