"""The figures that every view of a set begins with."""

from unicorn_hf.cards.formats import ranked
from unicorn_hf.cards.statistics import Statistics

_MOST = 6


def facts_of(statistics: Statistics) -> dict[str, str]:
    """What is said of a set in a few lines: a label and its text."""
    words = statistics.caption_words
    return {
        "pretrain": f"{statistics.pretrain.num_rows:,} rows",
        "words of a caption": f"{words.mean:,} on average, {words.min:,} to {words.max:,}",
        "instruction": f"{statistics.instruction.num_rows:,} rows, {statistics.instruction.num_turns:,} pairs of turns",
        "tasks": _listed(statistics.instruction.per_task),
        "domains": _listed(statistics.pretrain.per_domain),
        "language model": statistics.engine,
        "encoder": f"{statistics.representations.encoder}, {statistics.representations.dim:,} dimensions",
        "transfer": statistics.representations.transfer,
    }


def _listed(counts: dict[str, int]) -> str:
    parts = [f"{number:,} {name}" for name, number in ranked(counts)[:_MOST]]
    return ", ".join([*parts, *([f"{len(counts) - _MOST} more"] if len(counts) > _MOST else [])])
