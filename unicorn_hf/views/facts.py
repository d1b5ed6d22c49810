"""The figures at the start of every view of a set."""

from unicorn_hf.builders.overlap import OverlapFacts
from unicorn_hf.cards.formats import ranked
from unicorn_hf.cards.scores import Score
from unicorn_hf.cards.statistics import Statistics

_MOST = 6


def facts_of(statistics: Statistics) -> dict[str, str]:
    """A short description of a set: labels and texts."""
    words = statistics.caption_words
    return {
        "pretrain": f"{statistics.pretrain.num_rows:,} rows",
        "words per caption": f"{words.mean:,.1f} on average, {words.min:,} to {words.max:,}",
        "instruction": f"{statistics.instruction.num_rows:,} rows, {statistics.instruction.num_turns:,} pairs of turns",
        "tasks": listed(statistics.instruction.per_task),
        "domains": listed(statistics.pretrain.per_domain),
        "language model": statistics.engine,
        "encoder": f"{statistics.representations.encoder}, {statistics.representations.dim:,} dimensions",
        "transfer": statistics.representations.transfer,
    }


def overlaps_of(overlaps: tuple[OverlapFacts, ...]) -> dict[str, str]:
    """The number of rows that share text with an evaluation set, by its name."""
    return {
        one.name: f"{one.num_pretrain:,} of pretrain, {one.num_instruction:,} of instruction ({one.run_words} words)"
        for one in overlaps
    }


def scores_of(proof: tuple[Score, ...]) -> dict[str, str]:
    """Each score, and the share of right answers with the mean image in place of every image, by setting."""
    return {score.setting: f"{score.shown} (blind {score.blind:.1f} %)" for score in proof}


def listed(counts: dict[str, int]) -> str:
    """The largest counts, and how many more there are."""
    parts = [f"{number:,} {name}" for name, number in ranked(counts)[:_MOST]]
    return ", ".join([*parts, *([f"{len(counts) - _MOST} more"] if len(counts) > _MOST else [])])
