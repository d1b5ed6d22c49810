"""Shards of captions as the search for duplicates knows them: a row is named by its place among all candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CaptionShard:
    """One partition's captions."""

    path: Path
    identity: str
    """Fingerprint of their words: the same captions, wherever they come from, have the same keys."""

    @classmethod
    def of(cls, path: Path, digests: NDArray[np.int64]) -> "CaptionShard":
        return cls(path, blake2b(digests.tobytes(), digest_size=8).hexdigest())


def rows_by_shard(
    rows: NDArray[np.int64], shards: Sequence[CaptionShard], starts: Sequence[int]
) -> Iterator[tuple[CaptionShard, NDArray[np.int64]]]:
    """Some candidates, in rising order, as rows of the shards that hold them.

    Args:
        rows: places among all candidates.
        shards: partitions in order; each one that holds a row is there.
        starts: the place of each shard's first row.
    """
    cuts = [*np.searchsorted(rows, starts), len(rows)]
    for shard, start, begin, end in zip(shards, starts, cuts[:-1], cuts[1:], strict=True):
        yield shard, rows[begin:end] - start
