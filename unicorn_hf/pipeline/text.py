"""Captions and conversations of a build: written by an engine, or taken from files or the parent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.builders.repository import STATISTICS
from unicorn_hf.captions.step import CaptionSet
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.languages import english_name
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.core.recipe import ImportedFile, Recipe
from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.hub.fetch import local_folder
from unicorn_hf.instructions.step import InstructionSet
from unicorn_hf.interchange.importing import Taken, take
from unicorn_hf.interchange.reading import imported_files, parent_files
from unicorn_hf.pipeline.earlier import remember
from unicorn_hf.pipeline.parts import Parts
from unicorn_hf.reading.data_file import DataFile
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.seeds.figures import SeedFacts, SourceFacts
from unicorn_hf.seeds.language import another_language


@dataclass(frozen=True)
class Text:
    """Captions and conversations, with their origin."""

    recipe: Recipe
    """The recipe, with facts found while reading."""
    captions: CaptionSet
    instructions: InstructionSet
    seeds: SeedFacts
    model_license: str | None
    left_out: Sequence[LeftOut] = ()
    vectors: Callable[[str], Path | None] | None = None
    """The vector file of a partition, if the captions came with vectors."""


def imported(parts: Parts, progress: Progress) -> Text:
    """Import captions and conversations from files or the parent.

    Raises:
        InputError: a file cannot be read, or holds too few rows.
    """
    recipe = parts.recipe
    parent = local_folder(recipe.parent.dataset, recipe.parent.revision) if recipe.parent else None
    with_vectors = not parts.encoder.encoder.encodes
    if recipe.parent and parent:
        files = parent_files(recipe.parent, parent)
    else:
        files = imported_files(recipe.imported, with_vectors=with_vectors) if recipe.imported else []
    facts = read_statistics(parent / STATISTICS) if parent else None
    taken = take(recipe, files, with_vectors=with_vectors, work_dir=parts.work_dir, progress=progress)
    remember(parts.work_dir, recipe)
    _tell_language(recipe, taken, progress)
    # No notes for a parent: its format is known, and its vectors are always computed again.
    left_out = () if parent else taken.record.left_out
    tell(() if parent else taken.record.took, left_out, progress)
    return Text(
        recipe=_found_out(recipe, files, taken),
        captions=taken.captions,
        instructions=taken.instructions,
        seeds=facts.seeds if facts else _no_seeds(recipe, taken),
        model_license=facts.model_license if facts else recipe.engine.model_license(),
        left_out=left_out,
        vectors=taken.vectors,
    )


def tell(took: Sequence[str], left_out: Sequence[LeftOut], progress: Progress) -> None:
    """Report how files were read, and what was skipped."""
    for line in (*took, *left_out):
        progress.note(str(line))


def _tell_language(recipe: Recipe, taken: Taken, progress: Progress) -> None:
    """Warn if imported captions are in another language than the card will say."""
    first = read_table(taken.captions.picked[0].path, CAPTIONS, ["caption"])
    if code := another_language(first.column("caption").to_pylist(), recipe.language):
        says = " and ".join(map(english_name, recipe.language))
        progress.note(
            f"warning: the captions are in {english_name(code)}, but the card will say {says}. Use --language {code}"
        )


def _no_seeds(recipe: Recipe, taken: Taken) -> SeedFacts:
    """The files as sources; their captions have no seeds, or their rows hold them."""
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


def _found_out(recipe: Recipe, files: Sequence[DataFile], taken: Taken) -> Recipe:
    """The recipe with the files' hashes and row counts.

    Raises:
        InputError: the files hold one caption, and the transfer needs several.
    """
    if recipe.representations.moves_texts and taken.captions.num < 2:
        raise InputError(
            f"{', '.join(file.name for file in files)}: only 1 caption, but {recipe.representations.transfer} needs"
            " at least 2 to compute a mean",
            "Use --transfer none.",
        )
    changes: dict[str, object] = {
        "captions": recipe.captions.model_copy(update={"num": taken.captions.num}),
        "instructions": recipe.instructions.model_copy(update={"num": taken.instructions.num}),
    }
    if recipe.imported and not recipe.parent:
        found = tuple(
            ImportedFile(path=str(file.path), sha256=count.sha256, num_rows=count.num_rows)
            for file, count in zip(files, taken.record.files, strict=True)
        )
        changes["imported"] = recipe.imported.model_copy(update={"files": found})
    return Recipe.model_validate(recipe.model_copy(update=changes).model_dump())
