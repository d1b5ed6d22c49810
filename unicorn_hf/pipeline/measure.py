"""Measurements of a published set, added to its statistics and card."""

from pathlib import Path

from unicorn_hf.builders.overlap import EvaluationTexts, OverlapFacts, overlapping
from unicorn_hf.builders.repository import RECIPE, STATISTICS
from unicorn_hf.builders.rows import spread, vectors_of
from unicorn_hf.cards.plots import plot_gap
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.foreign import refuse_file, taken_over
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.pipeline.publish import check_build, tell_in_card
from unicorn_hf.representations.figures import GapFacts
from unicorn_hf.representations.gap import projected
from unicorn_hf.representations.measured import measure_set
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.representations.transfer_file import check_encoder, load_transfer
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.seeds.sources import named_sources

_PICTURE = "assets/gap.png"


def measure_gap(
    folder: str | Path,
    pictures: PictureSource,
    *,
    encoder: str | None = None,
    num_texts: int = 2000,
    plot: bool = True,
    progress: Progress | None = None,
) -> GapFacts:
    """Measure how far the set in `folder` is from real images, before and after its transfer; add it to the card.

    Args:
        folder: a built folder; its statistics, card and assets/ are rewritten.
        pictures: real images; pair figures are measured too for images with text.
        encoder: the set's encoder, if this machine cannot find it by the name in the recipe.
        num_texts: rows to compare, spread over the set.
        plot: draw both clouds.

    Raises:
        InputError: `folder` is no build, the encoder has no image side or is not the set's, or the images cannot be
            read.
        RunError: the encoder cannot be loaded.
    """
    folder, progress = Path(folder), progress or Progress()
    check_build(folder)
    encoder = encoder or set_encoder(folder)
    check_encoder(folder, encoder)
    rows = spread(folder, "pretrain", ["caption", "image_embedding"], num_texts)
    captions, transfer = rows.column("caption").to_pylist(), load_transfer(folder)
    facts, *pairs = measure_set(captions, vectors_of(rows), transfer, pictures, encoder, progress)
    if plot:
        facts = facts.model_copy(update={"picture": _PICTURE})
        clouds = [tuple(projected(list(pair))) for pair in pairs]
        gaps = [f"{side.mean_gap:.2f}" for side in (facts.before, facts.after)]
        titles = (f"before: means {gaps[0]} apart", f"after {transfer.name}: means {gaps[1]} apart")
        plot_gap(folder / _PICTURE, clouds[0], clouds[1], titles)  # type: ignore[arg-type]
    tell_in_card(folder, gap=facts)
    return facts


def set_encoder(folder: Path) -> str:
    """The encoder of a published set.

    Raises:
        InputError: the set names a file as its encoder.
    """
    foreign = taken_over(read_recipe(folder / RECIPE), folder)
    refuse_file(foreign, "representations.encoder", str(folder))
    return foreign.recipe.representations.encoder


def measure_overlap(
    folder: str | Path, evaluation: SeedSource, *, progress: Progress | None = None
) -> tuple[OverlapFacts, list[str]]:
    """Count the rows of the set in `folder` that share text with an evaluation set; add it to the card.

    Args:
        folder: a built folder; its statistics and card are rewritten.
        evaluation: the evaluation set's texts; replaces figures of an earlier one with the same name.

    Returns:
        The figures, and the ids of the first overlapping rows.

    Raises:
        InputError: `folder` is no build, or the evaluation set cannot be read or holds no text.
    """
    folder, progress = Path(folder), progress or Progress()
    check_build(folder)
    [(name, _)] = named_sources([evaluation])
    texts = EvaluationTexts(evaluation.read(0, ReadingNotes()))
    if not texts.num:
        raise InputError(f"no text in {evaluation.place}")
    facts, examples = overlapping(folder, name, texts, progress)
    others = [known for known in read_statistics(folder / STATISTICS).overlaps if known.name != name]
    tell_in_card(folder, overlaps=tuple(sorted([*others, facts], key=lambda known: known.name)))
    return facts, examples
