"""Existing text."""

from typing import TYPE_CHECKING, Literal

from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.engine import AnyEngine, Author, GeneratorSpec
from unicorn_hf.core.errors import InputError

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextGenerator

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

    def resolve(self) -> GeneratorSpec:
        raise _nothing_to_write_with()

    def open(self, model: str) -> "TextGenerator":
        raise _nothing_to_write_with()


def _nothing_to_write_with() -> InputError:
    return InputError("captions are imported: the recipe has no text generator", "Choose one with --llm MODEL.")
