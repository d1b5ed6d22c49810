"""The diversity of captions, and what they add to their seeds. Figures of parts can be merged."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.captions.filters.seed import added_words
from unicorn_hf.core.figures import Figures, Rounded
from unicorn_hf.core.language import language_of
from unicorn_hf.core.languages import ENGLISH
from unicorn_hf.core.words import count, words
from unicorn_hf.runtime.generation import Counts

NUM_LEAST = 8192
"""Smallest distinct hashes to keep: the relative error of an estimate is one over its square root, 1.1 %."""
MAX_RUN = 3
_MILLION = 1_000_000


class Distinct(Figures):
    """Estimate of the number of distinct items from their smallest hashes (k minimum values).

    Bar-Yossef, Jayram, Kumar, Sivakumar and Trevisan, Counting distinct elements in a data stream, 2002.
    """

    num: int = 0
    """Items counted, with repetitions."""
    least: tuple[int, ...] = ()
    """The `NUM_LEAST` smallest 64-bit hashes in ascending order; all of them if there are fewer."""

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> "Distinct":
        return cls(num=len(hashes), least=tuple(np.unique(hashes)[:NUM_LEAST].tolist()))

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        parts = list(parts)
        least = sorted(set().union(*(part.least for part in parts)))[:NUM_LEAST]
        return cls(num=sum(part.num for part in parts), least=tuple(least))

    @property
    def is_exact(self) -> bool:
        return len(self.least) < NUM_LEAST

    @property
    def num_distinct(self) -> int:
        """Exact below `NUM_LEAST`, else an estimate."""
        if self.is_exact:
            return len(self.least)
        return round((NUM_LEAST - 1) * 2.0**64 / (self.least[-1] + 1))

    @property
    def share(self) -> float:
        """Distinct items divided by all items: `distinct-n` for n-word sequences."""
        return self.num_distinct / self.num if self.num else 0.0


class Variety(Figures):
    """The diversity of captions."""

    vocabulary: int
    """Distinct words, in lower case."""
    type_token_ratio: Rounded
    """Distinct words of a caption divided by its words, mean over the captions."""
    distinct_1: Rounded
    distinct_2: Rounded
    distinct_3: Rounded
    """Distinct 1-, 2- and 3-word sequences divided by all such sequences of the captions."""
    is_estimate: bool
    """Whether vocabulary and distinct-n are estimates, with a relative error of about 1 %; otherwise they are exact."""
    added_words: float
    """Content words of a caption that are not in its seed, mean over the captions."""


class DiversityFacts(Variety):
    """The diversity of a set's captions, and what was removed."""

    duplicate_share: float
    near_duplicate_share: float
    """Captions removed as duplicates or near-duplicates, divided by those that passed the filters."""


class Diversity(Figures):
    """Counts over some captions."""

    num_captions: int = 0
    type_token_millionths: int = 0
    """Sum of the captions' type-token ratios, each rounded to a millionth."""
    num_added: int = 0
    """Sum of the captions' content words that are not in their seeds."""
    runs: tuple[Distinct, ...] = (Distinct(),) * MAX_RUN
    """1-, 2- and 3-word sequences within captions."""

    @classmethod
    def of(cls, captions: Sequence[str], seeds: Sequence[str], languages: Sequence[str] = (ENGLISH,)) -> "Diversity":
        """Count captions and their seeds; `languages` are the recipe's."""
        found = [words(caption) for caption in captions]
        ratios = (len(set(tokens)) * _MILLION // len(tokens) for tokens in found if tokens)
        return cls(
            num_captions=len(captions),
            type_token_millionths=sum(ratios),
            num_added=sum(
                count(added_words(seed, caption, language_of(caption, languages)))
                for seed, caption in zip(seeds, captions, strict=True)
            ),
            runs=tuple(Distinct.of(hashes) for hashes in run_hashes(found, MAX_RUN)),
        )

    @property
    def variety(self) -> Variety:
        one, two, three = self.runs
        num_captions = max(self.num_captions, 1)
        return Variety(
            vocabulary=one.num_distinct,
            type_token_ratio=self.type_token_millionths / _MILLION / num_captions,
            distinct_1=one.share,
            distinct_2=two.share,
            distinct_3=three.share,
            is_estimate=not all(run.is_exact for run in self.runs),
            added_words=round(self.num_added / num_captions, 2),
        )

    def facts(self, candidates: Counts) -> DiversityFacts:
        """The published figures of captions selected from these candidates."""
        left_out = {name: candidates.rejected.get(name, 0) for name in ("duplicate", "near_duplicate")}
        passed = max(candidates.num_kept + sum(left_out.values()), 1)
        shares = {f"{name}_share": round(num / passed, 6) for name, num in left_out.items()}
        return DiversityFacts(**self.variety.model_dump(), **shares)


def run_hashes(found: Sequence[Sequence[str]], longest: int) -> Iterator[NDArray[np.uint64]]:
    """Hashes of the sequences of 1 to `longest` words within each text: an array for each length.

    Sketches publish those of `sketch.RUN_WORDS` words: raise `sketch.FORM` if they change.
    """
    lengths = [len(tokens) for tokens in found]
    tokens = np.array([_hash(token) for text in found for token in text], np.uint64)
    text = np.repeat(np.arange(len(found)), lengths)
    run = np.zeros(len(tokens), np.uint64)
    for number in range(longest):
        run = _mixed(run[: len(tokens) - number] + tokens[number:])
        yield run[text[: len(run)] == text[number:]]
        run = run[: max(len(run) - 1, 0)]


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each value with the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=2**18)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
