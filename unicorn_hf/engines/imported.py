"""Existing text."""

from typing import Literal

from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.engine import AnyEngine, Author

UNKNOWN_MODEL = "unknown"


@ENGINES.register("imported")
class ImportedEngine(AnyEngine):
    """Writes nothing: captions and conversations come from files (`imported`)."""

    kind: Literal["imported"]
    model: str = UNKNOWN_MODEL
    """The model that wrote the text, if known."""
    license: str | None = None
    """The model's licence, for the card."""

    writes = False
    taken_keys = ("model", "license")

    @property
    def author(self) -> Author:
        return "unknown" if self.model == UNKNOWN_MODEL else "model"
