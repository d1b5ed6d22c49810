"""The recipe of an import: the command's options as data, which the built folder contains too."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unicorn_hf.core.recipe import MOST_ROWS, Recipe
from unicorn_hf.core.recipe_file import Document, validate
from unicorn_hf.encoders.imported import IMPORTED


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
    changes = dict(overrides or {})
    if "captions.num" in changes:  # A caption has at most one conversation.
        changes.setdefault("instructions.num", changes["captions.num"])
    data = {
        "name": "imported",
        "title": title,
        "language": list(languages),
        "seeds": {"sources": []},
        "engine": {"kind": "imported", **({"model": model} if model else {})},
        # The import replaces them with the actual numbers.
        "captions": {"num": MOST_ROWS},
        "instructions": {"num": MOST_ROWS},
        "representations": {"encoder": encoder or IMPORTED, "transfer": "mean_shift" if encoder else "none"},
        "imported": {
            "files": [{"path": str(Path(file).expanduser().absolute())} for file in files],
            "column": column,
            "domain": domain,
            "license": license,
        },
    }
    return validate(Document("the recipe of the import", data).overridden(changes))
