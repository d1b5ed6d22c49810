"""The recipe of an import: the command's options as data, which the published folder contains too."""

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
"""More rows than a set has; the import replaces it with the actual number."""


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
    """Return a recipe that takes captions and conversations from files; `build` makes the set.

    Args:
        files: files or folders; see `unicorn_hf.interchange.reading`.
        encoder: encodes the captions; without one, the files' vectors are used unchanged.
        column: the column or key of the captions, if it is not `caption` or `text`.
        domain: the default domain of captions.
        license: the files' licence.
        model: the text generator, if known.
        title: the card's title.
        languages: codes of the text's languages.
        overrides: dotted keys of the recipe, as for `load_recipe`.

    Raises:
        InputError: a value is invalid.
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
