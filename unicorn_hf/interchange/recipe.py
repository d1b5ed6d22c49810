"""The recipe of an import: what the command's options say, as data that stands in the published folder too."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unicorn_hf.core.recipe import (
    MOST_ROWS,
    Captions,
    Imported,
    ImportedFile,
    Instructions,
    Recipe,
    Representations,
    Seeds,
)
from unicorn_hf.core.recipe_file import overridden
from unicorn_hf.encoders.imported import IMPORTED
from unicorn_hf.engines.imported import ImportedEngine

ALL = MOST_ROWS
"""More rows than a set has: the import puts the number that it finds in its place."""


def import_recipe(
    files: Sequence[str | Path],
    *,
    encoder: str | None = None,
    column: str | None = None,
    domain: str = "open-domain",
    license: str = "unknown",
    model: str | None = None,
    title: str = "Imported captions",
    languages: Sequence[str] = ("en",),
    overrides: Mapping[str, object] | None = None,
) -> Recipe:
    """A recipe that takes captions and conversations from files; `build` makes the set.

    Args:
        files: files or folders; see `unicorn_hf.interchange.reading`.
        encoder: encodes the captions; without one, the vectors that come with them are taken as they are.
        column: the column or key of the captions, where it is not `caption` or `text`.
        domain: of captions that name none.
        license: the files' licence.
        model: what wrote the text, where that is known.
        title: the card's.
        languages: codes of the text's languages.
        overrides: dotted keys of the recipe, as for `load_recipe`.

    Raises:
        InputError: a value does not hold.
    """
    recipe = Recipe(
        name="imported",
        title=title,
        language=tuple(languages),
        seeds=Seeds(sources=()),
        engine=ImportedEngine(kind="imported", **({"model": model} if model else {})),
        captions=Captions(num=ALL),
        instructions=Instructions(num=ALL),
        representations=Representations(
            encoder=encoder or IMPORTED, transfer="mean_shift" if encoder else "none", dtype="float16"
        ),
        imported=Imported(
            files=tuple(ImportedFile(path=str(Path(file).expanduser().absolute())) for file in files),
            column=column,
            domain=domain,
            license=license,
        ),
    )
    return overridden(recipe, overrides or {}, "the recipe of the import")
