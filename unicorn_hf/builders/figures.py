"""Figures of published rows, for the card."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import pyarrow as pa

from unicorn_hf.builders.personal import rows_with
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.words import num_words, words
from unicorn_hf.instructions.tasks import has_options
from unicorn_hf.instructions.turns import LETTERS

QUESTION_WORDS = frozenset(
    """
    what how which where who whose when why if is are was were does do did has have can could would should will
    describe explain name in on at from based considering given looking
    """.split()
)
"""First words of questions that are counted; all others count as `other`, which bounds the list."""
OTHER = "other"
_BIN_WORDS, _MAX_BINS = 10, 60
_Key = TypeVar("_Key", int, str)


class RowFigures(Figures):
    """Figures of published rows."""

    num_rows: int = 0
    num_turns: int = 0
    """Pairs of a human and a gpt turn."""
    per_domain: dict[str, int] = {}
    per_task: dict[str, int] = {}
    turns: dict[int, int] = {}
    """Conversations by their number of pairs."""
    question_words: dict[str, int] = {}
    """Questions of the tasks by their first word, or `other`."""
    answer_letters: dict[str, int] = {}
    """Multiple-choice questions by the letter of the correct option."""
    personal: dict[str, int] | None = {}
    """Rows with personal data, by its kind."""


class ShardStatistics(RowFigures):
    """Figures of some rows of a config."""

    caption_words: dict[int, int] = {}
    """Captions by their number of words."""

    @classmethod
    def of(cls, rows: pa.Table | pa.RecordBatch) -> "ShardStatistics":
        """Count rows; nulls and invalid conversations are ignored."""
        pairs = [list(_pairs(turns)) for turns in rows.column("conversations").to_pylist()]
        tasks = rows.column("task").to_pylist() if "task" in rows.schema.names else None
        questions = [question for found in pairs for question, _ in found] if tasks else []
        choices = [found for found, task in zip(pairs, tasks or (), strict=bool(tasks)) if has_options(task)]
        captions = rows.column("caption").to_pylist()
        return cls(
            num_rows=rows.num_rows,
            num_turns=sum(map(len, pairs)),
            caption_words=_counted(num_words(caption) for caption in captions if caption is not None),
            per_domain=_counted(rows.column("domain").to_pylist()),
            per_task=_counted(tasks or ()),
            turns=_counted(map(len, pairs)),
            question_words=_counted(map(_first_word, questions)),
            answer_letters=_counted(answer for found in choices for _, answer in found if answer in LETTERS),
            personal=rows_with(rows),
        )


class ShardFacts(Figures):
    """A published file."""

    file: str
    num_rows: int
    num_bytes: int
    sha256: str


class ConfigFacts(RowFigures):
    """A config of a published set."""

    personal: dict[str, int] | None = None
    """None if not searched for."""
    num_bytes: int
    """Size in memory, as Arrow."""
    num_file_bytes: int
    shards: tuple[ShardFacts, ...]


class Bin(Figures):
    first: int
    last: int
    num: int


class WordFacts(Figures):
    """Captions by their number of words."""

    mean: float
    min: int
    lower: int
    """The 5th percentile."""
    median: int
    upper: int
    """The 95th percentile."""
    max: int
    histogram: tuple[Bin, ...]

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> "WordFacts":
        """The figures of `ShardStatistics.caption_words`."""
        number, shortest, longest = sum(counts.values()), min(counts, default=0), max(counts, default=0)
        width = _BIN_WORDS
        while longest - shortest > _MAX_BINS * width:
            width *= 2
        bins = dict.fromkeys(range(shortest // width * width, longest + 1, width), 0)
        for length, num in counts.items():
            bins[length // width * width] += num
        return cls(
            mean=round(sum(length * num for length, num in counts.items()) / max(number, 1), 2),
            min=shortest,
            lower=_percentile(counts, 0.05),
            median=_percentile(counts, 0.5),
            upper=_percentile(counts, 0.95),
            max=longest,
            histogram=tuple(Bin(first=start, last=start + width - 1, num=num) for start, num in bins.items()),
        )


def _percentile(counts: Mapping[int, int], share: float) -> int:
    """The smallest length that `share` of the captions do not exceed."""
    wanted, seen = share * sum(counts.values()), 0
    for length, num in sorted(counts.items()):
        seen += num
        if seen >= wanted:
            return length
    return 0


def _pairs(turns: Sequence[Mapping[str, str | None] | None] | None) -> Iterable[tuple[str, str]]:
    values = [(turn or {}).get("value") or "" for turn in turns or ()]
    return zip(values[::2], values[1::2], strict=False)


def _first_word(question: str) -> str:
    # A question may be long; its first words are enough.
    found = words(question.removeprefix("<image>\n")[:200])
    return found[0] if found and found[0] in QUESTION_WORDS else OTHER


def _counted(values: Iterable[_Key | None]) -> dict[_Key, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))
