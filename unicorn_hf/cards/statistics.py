"""`statistics.json`: every figure that the card prints, and the sketch of the captions."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from unicorn_hf.builders.diversity import DiversityFacts
from unicorn_hf.builders.figures import ConfigFacts, WordFacts
from unicorn_hf.builders.overlap import OverlapFacts
from unicorn_hf.builders.sketch import Sketch
from unicorn_hf.cards.scores import Score
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.core.problems import first_error
from unicorn_hf.representations.figures import GapFacts, RepresentationFacts
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.seeds.figures import SeedFacts

T = TypeVar("T", bound=BaseModel)


class Statistics(Figures):
    engine: str
    engine_deterministic: bool
    model_license: str | None = None
    """From the recipe or the model's own card; None if neither has it."""
    seeds: SeedFacts
    captions: Counts
    caption_words: WordFacts
    diversity: DiversityFacts | None = None
    sketch: Sketch | None = None
    """Of the captions, to find sets that share them."""
    instructions: Counts
    left_out: tuple[LeftOut, ...] = ()
    """Rows and parts of rows that file readers skipped, by reason, each with its first example. `seeds.skipped` also
    counts seeds, and `rejected` captions and conversations of an import."""
    representations: RepresentationFacts
    pretrain: ConfigFacts
    instruction: ConfigFacts
    gap: GapFacts | None = None
    """None until measured."""
    overlaps: tuple[OverlapFacts, ...] = ()
    """By the evaluation set's name; empty until measured."""
    proof: tuple[Score, ...] = ()
    """How well a proxy that was trained on the set reads real images, by setting; empty until measured."""
    versions: dict[str, str]
    """Packages that the data depends on."""

    @property
    def known_sketch(self) -> Sketch | None:
        """The sketch, if this version can compare it."""
        return self.sketch if self.sketch and self.sketch.is_known else None


def read_statistics(path: Path) -> Statistics:
    """Read the statistics of a built folder.

    Raises:
        InputError: the file is missing or invalid.
    """
    return read_figures(path, Statistics)


def read_figures(path: Path, model: type[T]) -> T:
    """Read a file of figures.

    Raises:
        InputError: the file is missing or invalid.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        why = first_error(error)
    except OSError as error:
        why = error.strerror or str(error)
    raise InputError(f"{path}: not readable: {why}", f"Try: unicorn-hf validate {path.parent}")
