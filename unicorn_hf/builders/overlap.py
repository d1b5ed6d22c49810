"""Find rows that share text with an evaluation set, and so would contaminate the evaluation."""

from collections.abc import Iterable
from pathlib import Path

from unicorn_hf.builders.places import CONFIGS
from unicorn_hf.builders.rows import batches, num_rows
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.words import runs, words
from unicorn_hf.runtime.progress import Progress

RUN_WORDS = 8
"""Successive words that two texts must share; half of all English texts about everyday things share fewer.

PaLM (2204.02311, section 8) and others use 8; GPT-3 (2005.14165, appendix C) 8 to 13.
"""
_NUM_EXAMPLES = 3


class EvaluationTexts:
    """Texts of an evaluation set, indexed by their sequences of `RUN_WORDS` words.

    A shorter text only overlaps with a text of exactly the same words.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.num = 0
        self._runs: set[int] = set()
        self._short: set[int] = set()
        for text in texts:
            found = words(text)
            self.num += bool(found)
            if long := runs(text, RUN_WORDS):
                self._runs.update(map(hash, long))
            elif found:
                self._short.add(hash(found))

    def overlap(self, text: str) -> bool:
        """Whether a text of the set shares a word sequence with this one, or equals it."""
        found = runs(text, RUN_WORDS)
        return not self._runs.isdisjoint(map(hash, found)) if found else hash(words(text)) in self._short


class OverlapFacts(Figures):
    """The result of `unicorn-hf overlap`: rows that share text with an evaluation set."""

    name: str
    num_texts: int
    """Texts of the evaluation set."""
    run_words: int
    """Successive words that a row and a text must share."""
    num_pretrain: int
    num_instruction: int


def overlapping(folder: Path, name: str, texts: EvaluationTexts, progress: Progress) -> tuple[OverlapFacts, list[str]]:
    """Search caption, seed and conversation of every row, one batch in memory at a time.

    In `pretrain`, the conversation repeats the caption, so only caption and seed are searched.

    Returns:
        The figures, and the ids of the first such rows.
    """
    progress.start("overlap", sum(num_rows(folder, config) for config in CONFIGS))
    numbers, examples, add = dict.fromkeys(CONFIGS, 0), list[str](), progress.counter()
    for config in CONFIGS:
        columns = ["id", "caption", "seed", *(["conversations"] if config == "instruction" else [])]
        for row in (row for batch in batches(folder, config, columns) for row in batch.to_pylist()):
            own = [row["caption"], row["seed"], *(turn["value"] for turn in row.get("conversations", ()))]
            if any(map(texts.overlap, own)):
                numbers[config] += 1
                if len(examples) < _NUM_EXAMPLES and row["id"] not in examples:
                    examples.append(row["id"])
            add(1)
    progress.finish()
    facts = OverlapFacts(
        name=name,
        num_texts=texts.num,
        run_words=RUN_WORDS,
        num_pretrain=numbers["pretrain"],
        num_instruction=numbers["instruction"],
    )
    return facts, examples
