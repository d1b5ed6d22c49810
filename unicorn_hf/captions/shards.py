"""Shards of captions for deduplication, where a row is identified by its index among all candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.schemas import CAPTIONS, required
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import read_table, take_rows, write_table
from unicorn_hf.runtime.steps import PartitionJob, Record, Step
from unicorn_hf.runtime.work import Work

Pairs = NDArray[np.int64]
"""Pairs of candidates: an array of shape (pairs, 2), the better one of each first."""

_PAIRS = "pairs"
_PAIR_SCHEMA = required(better=pa.int64(), worse=pa.int64())


@dataclass(frozen=True, slots=True)
class CaptionShard:
    """One partition's captions."""

    path: Path
    identity: str
    """Fingerprint of their words: equal captions have equal keys, whatever their source."""
    start: int
    """Index of its first row among all candidates."""


@dataclass(frozen=True, kw_only=True)
class ShardJob(PartitionJob[Record]):
    """A job over each caption of one partition."""

    captions: CaptionShard

    @classmethod
    def of(cls, step: Step, captions: CaptionShard, **more: Any) -> Self:
        label = f"search for duplicates, of {captions.path}"
        identity = captions.identity
        return cls(step=step, partition=identity, inputs=identity, label=label, captions=captions, **more)

    def texts(self) -> list[str]:
        texts: list[str] = read_table(self.captions.path, CAPTIONS, ["caption"]).column("caption").to_pylist()
        return texts


@dataclass(frozen=True, kw_only=True)
class PairsJob(PartitionJob[Record]):
    """Finds pairs of near-duplicates among some candidates, of any number of partitions."""

    rows: NDArray[np.int64]
    """Their indices, in an array of any shape."""
    shards: tuple[CaptionShard, ...]
    """The partitions that contain them."""

    @classmethod
    def of(cls, step: Step, kind: str, rows: NDArray[np.int64], shards: Sequence[CaptionShard], **more: Any) -> Self:
        having = tuple(shard for shard, here in rows_by_shard(np.unique(rows), shards) if len(here))
        inputs = fingerprint([(shard.identity, shard.start) for shard in having], hash_of(rows), *more.values())
        partition = f"{kind}-{inputs}"
        label = f"search for duplicates, {partition}"
        return cls(step=step, partition=partition, inputs=inputs, label=label, rows=rows, shards=having, **more)

    def found(self) -> Pairs:
        """The pairs of near-duplicates."""
        raise NotImplementedError

    def run(self, work: Work) -> Record:
        table = pa.table(list(self.found().T), schema=_PAIR_SCHEMA)
        write_table(self.shard(_PAIRS), table, _PAIR_SCHEMA)
        return self.finish(work, _PAIRS)


def pairs_of(jobs: Sequence[PairsJob], pool: WorkerPool) -> list[tuple[int, int]]:
    """All pairs that the jobs find."""
    pool.run(jobs, lambda record: None)
    tables = [read_table(job.shard(_PAIRS), _PAIR_SCHEMA) for job in jobs]
    return [pair for table in tables for pair in zip(*table.to_pydict().values(), strict=True)]


def rows_by_shard(
    rows: NDArray[np.int64], shards: Sequence[CaptionShard]
) -> Iterator[tuple[CaptionShard, NDArray[np.int64]]]:
    """Group candidates by shard, as rows of each.

    Args:
        rows: indices among all candidates, in ascending order.
        shards: partitions in order, with all that contain one of the rows.
    """
    cuts = [*np.searchsorted(rows, [shard.start for shard in shards]), len(rows)]
    for shard, begin, end in zip(shards, cuts[:-1], cuts[1:], strict=True):
        yield shard, rows[begin:end] - shard.start


def values_of(rows: NDArray[np.int64], shards: Sequence[CaptionShard], column: str) -> dict[int, str]:
    """A column's values of some candidates, by index; for the arguments see `rows_by_shard`."""
    found: dict[int, str] = {}
    for shard, here in rows_by_shard(rows, shards):
        table = take_rows(read_table(shard.path, CAPTIONS, [column]), here.tolist())
        found.update(zip((here + shard.start).tolist(), table.column(column).to_pylist(), strict=True))
    return found


def hash_of(array: NDArray[np.int64]) -> str:
    return blake2b(array.tobytes(), digest_size=8).hexdigest()
