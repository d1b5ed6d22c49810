"""`statistics.json`: every figure that the card prints."""

from pathlib import Path

from pydantic import ValidationError

from unicorn_hf.builders.diversity import DiversityFacts
from unicorn_hf.builders.figures import ConfigFacts, WordFacts
from unicorn_hf.builders.overlap import OverlapFacts
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.representations.figures import GapFacts, RepresentationFacts
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.seeds.figures import SeedFacts


class Statistics(Figures):
    engine: str
    engine_deterministic: bool
    model_license: str | None = None
    """By the recipe or by the model's own card; None where neither says it."""
    seeds: SeedFacts
    captions: Counts
    caption_words: WordFacts
    diversity: DiversityFacts | None = None
    instructions: Counts
    left_out: tuple[LeftOut, ...] = ()
    """What readers of files left out, rows and parts of rows, by reason, each with its first example. Seeds are counted
    in `seeds.skipped` too, captions and conversations of an import in `rejected`."""
    representations: RepresentationFacts
    pretrain: ConfigFacts
    instruction: ConfigFacts
    gap: GapFacts | None = None
    """None until it is measured."""
    overlaps: tuple[OverlapFacts, ...] = ()
    """By the evaluation set's name; empty until it is measured."""
    versions: dict[str, str]
    """Packages that the data depends on."""


def read_statistics(path: Path) -> Statistics:
    """The statistics of a published folder.

    Raises:
        InputError: they are not there, or not as this version writes them.
    """
    try:
        return Statistics.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
    except OSError as error:
        why = error.strerror or str(error)
    raise InputError(f"{path}: not readable: {why}", f"Try: unicorn-hf validate {path.parent}")
