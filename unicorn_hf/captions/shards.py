"""Shards of captions as the search for duplicates knows them: a row is named by its place among all candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.steps import Record, Step


@dataclass(frozen=True, slots=True)
class CaptionShard:
    """One partition's captions."""

    path: Path
    identity: str
    """Fingerprint of their words: the same captions, wherever they come from, have the same keys."""

    @classmethod
    def of(cls, path: Path, digests: NDArray[np.int64]) -> "CaptionShard":
        return cls(path, blake2b(digests.tobytes(), digest_size=8).hexdigest())


@dataclass(frozen=True)
class ShardJob:
    """Something made of each caption of one partition; a subclass has `run`, which ends with `finished`."""

    step: Step
    shard: CaptionShard

    @property
    def partition(self) -> str:
        return self.shard.identity

    @property
    def label(self) -> str:
        return f"search for duplicates, of {self.shard.path}"

    def find(self) -> Record | None:
        return self.step.find(self.partition, self.shard.identity, Record)

    def captions(self) -> list[str]:
        captions: list[str] = read_table(self.shard.path, CAPTIONS, ["caption"]).column("caption").to_pylist()
        return captions

    def finished(self, kind: str) -> Record:
        """Write the record of the shard of this kind."""
        record = Record(inputs=self.shard.identity, num_bytes=self.step.sizes(self.partition, kind))
        return self.step.finish(self.partition, record)


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
