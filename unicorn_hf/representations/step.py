"""Stage 3: captions are encoded partition by partition; the sums that their mean needs are kept beside the vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.schemas import CAPTIONS, MOMENTS, embeddings
from unicorn_hf.engines.specs import EncoderChoice
from unicorn_hf.representations.moments import Moments
from unicorn_hf.representations.transfers import Transfer, fit
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import read_table, take_rows, write_table
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import Record, Step
from unicorn_hf.runtime.workers import resident

STAGE = "representations"
_BLOCK_ROWS = 64
"""Captions given to the encoder at once, in batches: the display moves on after each block."""


class EncodingRecord(Record):
    num_rows: int
    dim: int
    num_truncated: int
    """Captions longer than the encoder reads."""


@dataclass(frozen=True)
class EncodeJob:
    """The representations of one partition's captions, a row each, in the order of `captions.rows`."""

    step: Step
    captions: Picked
    encoder: EncoderChoice
    block_rows: int

    @property
    def inputs(self) -> str:
        return fingerprint(self.captions.identity)

    def find(self) -> EncodingRecord | None:
        return self.step.find(self.captions.partition, self.inputs, EncodingRecord)

    def run(self, on_row: Callable[[], None]) -> EncodingRecord:
        encoder = resident(self.encoder.identity, self.encoder.open)
        table = take_rows(read_table(self.captions.path, CAPTIONS, ["id", "caption"]), self.captions.rows)
        captions = table.column("caption").to_pylist()
        vectors = np.empty((len(captions), encoder.dim), dtype=np.float32)
        for start in range(0, len(captions), self.block_rows):
            block = captions[start : start + self.block_rows]
            vectors[start : start + len(block)] = encoder.encode(block)
            for _ in block:
                on_row()
        name = self.captions.partition
        schema = embeddings(encoder.dim)
        column = pa.FixedSizeListArray.from_arrays(vectors.ravel(), encoder.dim)
        shard = pa.table([table.column("id"), column], schema=schema)
        write_table(self.step.shard(name, "embeddings"), shard, schema)
        write_table(self.step.shard(name, "moments"), Moments.of(vectors).to_table(), MOMENTS)
        record = EncodingRecord(
            inputs=self.inputs,
            num_bytes=self.step.sizes(name, "embeddings", "moments"),
            num_rows=len(captions),
            dim=encoder.dim,
            num_truncated=encoder.num_truncated(captions),
        )
        return self.step.finish(name, record)


@dataclass
class Representations:
    """Where the vectors lie, and the transfer that is to be applied to them."""

    step: Step
    dim: int
    moments: Moments
    transfer: Transfer
    num_truncated: int

    def path(self, partition: str) -> Path:
        return self.step.shard(partition, "embeddings")


@dataclass
class RepresentationStage:
    """Encodes all captions of the set and fits the transfer over them."""

    recipe: Recipe
    captions: Sequence[Picked]
    encoder: EncoderChoice
    work_dir: Path
    step: Step = field(init=False)

    def __post_init__(self) -> None:
        self.step = Step.of(self.work_dir, STAGE, self.encoder.identity)

    def run(self, pool: WorkerPool, progress: Progress) -> Representations:
        progress.start(STAGE, sum(len(picked.rows) for picked in self.captions))
        done = 0

        def count(record: EncodingRecord) -> None:
            nonlocal done
            done += record.num_rows
            progress.known(done, 0)

        block_rows = max(_BLOCK_ROWS, self.recipe.representations.batch_size)
        jobs = [EncodeJob(self.step, picked, self.encoder, block_rows) for picked in self.captions if picked.rows]
        records = pool.run(jobs, count)
        moments = Moments.merged([self._moments(job.captions.partition) for job in jobs])
        progress.finish()
        return Representations(
            step=self.step,
            dim=records[0].dim,
            moments=moments,
            transfer=fit(self.recipe.representations.transfer, moments.mean),
            num_truncated=sum(record.num_truncated for record in records),
        )

    def _moments(self, partition: str) -> Moments:
        return Moments.from_table(read_table(self.step.shard(partition, "moments"), MOMENTS))
