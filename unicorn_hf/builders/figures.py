"""What is counted of published rows, for the card. Figures of parts add up to those of the whole."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel

from unicorn_hf.builders.personal import rows_with
from unicorn_hf.core.words import num_words, words
from unicorn_hf.instructions.turns import LETTERS

QUESTION_WORDS = frozenset(
    """
    what how which where who whose when why if is are was were does do did has have can could would should will
    describe explain name in on at from based considering given looking
    """.split()
)
"""First words of questions that are counted by themselves; what else a model writes does not make the list longer."""
OTHER = "other"
_Key = TypeVar("_Key", int, str)


class ShardStatistics(BaseModel):
    """Figures of some published rows."""

    num_rows: int = 0
    num_turns: int = 0
    """Pairs of a human and a gpt turn."""
    caption_words: dict[int, int] = {}
    """Captions by their number of words."""
    per_domain: dict[str, int] = {}
    per_task: dict[str, int] = {}
    turns: dict[int, int] = {}
    """Conversations by their number of pairs."""
    question_words: dict[str, int] = {}
    """Questions of the tasks by their first word, or `other`."""
    answer_letters: dict[str, int] = {}
    """Choices by the letter of the right answer."""
    personal: dict[str, int] = {}
    """Rows that hold a mark of personal data, by its kind."""

    @classmethod
    def of(cls, rows: pa.Table | pa.RecordBatch) -> "ShardStatistics":
        """Count rows; what is null, or no conversation, is left out."""
        pairs = [list(_pairs(turns)) for turns in rows.column("conversations").to_pylist()]
        tasks = rows.column("task").to_pylist() if "task" in rows.schema.names else None
        questions = [question for found in pairs for question, _ in found] if tasks else []
        choices = [found for found, task in zip(pairs, tasks or (), strict=bool(tasks)) if task == "multiple_choice"]
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

    @classmethod
    def merged(cls, parts: "Sequence[ShardStatistics]") -> "ShardStatistics":
        return cls(
            num_rows=sum(part.num_rows for part in parts),
            num_turns=sum(part.num_turns for part in parts),
            caption_words=_added(part.caption_words for part in parts),
            per_domain=_added(part.per_domain for part in parts),
            per_task=_added(part.per_task for part in parts),
            turns=_added(part.turns for part in parts),
            question_words=_added(part.question_words for part in parts),
            answer_letters=_added(part.answer_letters for part in parts),
            personal=_added(part.personal for part in parts),
        )

    @property
    def mean_caption_words(self) -> float:
        number = sum(self.caption_words.values())
        return sum(length * num for length, num in self.caption_words.items()) / number if number else 0.0

    def caption_words_at(self, share: float) -> int:
        """The length that `share` of the captions do not exceed: 0 the shortest, 0.5 the median, 1 the longest."""
        wanted = share * sum(self.caption_words.values())
        seen = 0
        for length, num in sorted(self.caption_words.items()):
            seen += num
            if seen >= wanted:
                return length
        return 0


def _pairs(turns: Sequence[Mapping[str, str | None] | None] | None) -> Iterable[tuple[str, str]]:
    values = [(turn or {}).get("value") or "" for turn in turns or ()]
    return zip(values[::2], values[1::2], strict=False)


def _first_word(question: str) -> str:
    # The first words are enough to look at; a question may be long.
    found = words(question.removeprefix("<image>\n")[:200])
    return found[0] if found and found[0] in QUESTION_WORDS else OTHER


def _counted(values: Iterable[_Key | None]) -> dict[_Key, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))


def _added(counts: Iterable[dict[_Key, int]]) -> dict[_Key, int]:
    merged: Counter[_Key] = Counter()
    for count in counts:
        merged.update(count)
    return dict(sorted(merged.items()))
