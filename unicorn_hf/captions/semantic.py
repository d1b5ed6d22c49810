"""Semantic near-duplicates: captions with a high cosine similarity of the encoder's vectors.

Vectors are compared within cells. Each caption is in the cells of its two nearest pivots; pivots are the first
captions, a random sample, since the order is by hash. Few captions make one cell, and all are compared; with many
captions, the work grows linearly, not quadratically.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.captions.minhash import MAX_PARTNERS
from unicorn_hf.captions.shards import CaptionShard, Pairs, PairsJob, ShardJob, pairs_of, rows_by_shard
from unicorn_hf.core.encoder import EncoderChoice
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import map_arrow, write_arrow
from unicorn_hf.runtime.steps import Record, Step
from unicorn_hf.runtime.work import Work

STAGE = "semantic-duplicates"
CODE = 2
"""Raise it if the comparison changes."""
_VECTORS, _COLUMN = "vectors.arrow", "vector"
_ROWS_PER_CELL = 4096
_CELLS_OF_A_ROW = 2
_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class VectorJob(ShardJob):
    """The vectors of one partition's captions."""

    encoder: EncoderChoice

    def run(self, work: Work) -> Record:
        captions = self.texts()
        with work.engine(self.encoder.text_identity, self.encoder.open) as encoder:
            encoded = encoder.encode(captions, lambda _: work.moving()).vectors if captions else None
            vectors = np.zeros((0, encoder.dim), np.float32) if encoded is None else encoded
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), encoder.dim)
        write_arrow(self.shard(_VECTORS), pa.table([column], names=[_COLUMN]))
        return self.finish(work, _VECTORS)


@dataclass(frozen=True, kw_only=True)
class CellJob(PairsJob):
    """Finds near-duplicates in one cell, whose captions are sorted, best first."""

    first_new: int
    """Pairs of captions before this one are known already."""
    threshold: float

    def found(self) -> Pairs:
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *self._alike(self._vectors())])
        new: Pairs = pairs[pairs.max(axis=1, initial=0) >= self.first_new]
        return new

    def _alike(self, vectors: NDArray[np.float32]) -> list[Pairs]:
        pairs = []
        for begin in range(0, len(vectors), _BLOCK):
            block = vectors[begin : begin + _BLOCK]
            alike = block @ vectors[: begin + len(block)].T >= self.threshold
            alike &= np.arange(begin + len(block)) < np.arange(begin, begin + len(block))[:, None]
            alike &= np.cumsum(alike, axis=1) <= MAX_PARTNERS
            at, better = np.nonzero(alike)
            pairs.append(np.stack([self.rows[better], self.rows[begin + at]], axis=1))
        return pairs

    def _vectors(self) -> NDArray[np.float32]:
        in_order = np.concatenate(
            [_load(self.step, shard)[here] for shard, here in rows_by_shard(np.sort(self.rows), self.shards)]
        )
        return np.asarray(in_order[np.argsort(np.argsort(self.rows))], np.float32)


class SemanticDuplicates:
    """Finds semantic near-duplicates, wave by wave."""

    def __init__(self, threshold: float, encoder: EncoderChoice, work_dir: Path) -> None:
        self._threshold = threshold
        self._encoder = encoder
        self._step = Step.of(work_dir, STAGE, encoder.text_identity, CODE)
        self._pivots: NDArray[np.float32] | None = None

    def find(
        self, shards: Sequence[CaptionShard], order: NDArray[np.int64], first_new: int, pool: WorkerPool
    ) -> list[tuple[int, int]]:
        """Pairs of near-duplicates with at least one caption from `first_new` on.

        Args:
            shards: all partitions.
            order: the captions to compare, best first.
            first_new: the first caption that is new since the last call.
            pool: runs the jobs.
        """
        if not len(order):
            return []
        vectors = [VectorJob.of(self._step, shard, encoder=self._encoder) for shard in shards]
        pool.run(vectors, lambda record: None, on_gpu=self._encoder.uses_gpu)
        cells = self._cells(shards, len(order))
        jobs = []
        for cell in range(int(cells.max(initial=-1)) + 1):
            rows = order[(cells[order] == cell).any(axis=1)]
            if len(rows) > 1 and rows.max() >= first_new:
                bounds = {"first_new": first_new, "threshold": self._threshold}
                jobs.append(CellJob.of(self._step, "cell", rows, shards, **bounds))
        return pairs_of(jobs, pool)

    def _cells(self, shards: Sequence[CaptionShard], num_rows: int) -> NDArray[np.int64]:
        """The cells of each caption: an array of shape (captions, at most 2)."""
        if self._pivots is None:
            vectors = chain.from_iterable(_load(self._step, shard) for shard in shards)
            self._pivots = np.array(list(islice(vectors, max(1, num_rows // _ROWS_PER_CELL))))
        number = min(_CELLS_OF_A_ROW, len(self._pivots))
        nearest = [np.argsort(-(_load(self._step, shard) @ self._pivots.T), axis=1)[:, :number] for shard in shards]
        return np.concatenate([np.zeros((0, number), np.int64), *nearest])


def _load(step: Step, shard: CaptionShard) -> NDArray[np.float32]:
    column = map_arrow(step.shard(shard.identity, _VECTORS)).column(_COLUMN).combine_chunks()
    vectors: NDArray[np.float32] = column.flatten().to_numpy()
    return vectors.reshape(-1, column.type.list_size)
