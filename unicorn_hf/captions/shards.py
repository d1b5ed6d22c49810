"""Shards of captions for deduplication, where a row is identified by its index among all candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.steps import PartitionJob, Record, Step


@dataclass(frozen=True, slots=True)
class CaptionShard:
    """One partition's captions."""

    path: Path
    identity: str
    """Fingerprint of their words: equal captions have equal keys, whatever their source."""

    @classmethod
    def of(cls, path: Path, digests: NDArray[np.int64]) -> "CaptionShard":
        return cls(path, blake2b(digests.tobytes(), digest_size=8).hexdigest())


@dataclass(frozen=True, kw_only=True)
class ShardJob(PartitionJob[Record]):
    """A job over each caption of one partition."""

    captions: CaptionShard

    @classmethod
    def of(cls, step: Step, captions: CaptionShard, **more: object) -> Self:
        label = f"search for duplicates, of {captions.path}"
        inputs: Any = {"partition": captions.identity, "inputs": captions.identity, "label": label, **more}
        return cls(step=step, captions=captions, **inputs)

    def texts(self) -> list[str]:
        texts: list[str] = read_table(self.captions.path, CAPTIONS, ["caption"]).column("caption").to_pylist()
        return texts


def rows_by_shard(
    rows: NDArray[np.int64], shards: Sequence[CaptionShard], starts: Sequence[int]
) -> Iterator[tuple[CaptionShard, NDArray[np.int64]]]:
    """Group candidates by shard, as rows of each.

    Args:
        rows: indices among all candidates, in ascending order.
        shards: partitions in order, with all that contain one of the rows.
        starts: the index of each shard's first row.
    """
    cuts = [*np.searchsorted(rows, starts), len(rows)]
    for shard, start, begin, end in zip(shards, starts, cuts[:-1], cuts[1:], strict=True):
        yield shard, rows[begin:end] - start
