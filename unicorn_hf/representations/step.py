"""Stage 3: encode captions by partition, store their moments, and fit the transfer.

Packaging applies the transfer when it writes the published shards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import EncoderChoice, published_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import Encoded
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.schemas import CAPTIONS, MOMENTS, TENSORS
from unicorn_hf.representations.figures import ImageFacts, RepresentationFacts
from unicorn_hf.representations.moments import Covariance, DomainMoments, Part
from unicorn_hf.representations.rows import in_shard
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, load_image_statistics
from unicorn_hf.representations.transfers import FirstPass, Transfer, TransferStatistics
from unicorn_hf.representations.vectors import KIND, read_vectors, tensor_table, tensors_of, write_vectors
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import read_table, take_rows, write_table
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import PartitionJob, Record, Step
from unicorn_hf.runtime.work import Work

STAGE, ALIGNMENT, FITTING = "representations", "alignment", "fitting"
_MERGED, _RESULT = "all", "mean"
CODE, _ALIGNMENT_CODE = 3, 4
"""Increment when the content of a partition changes: captions are then encoded again, or a first pass is."""


class EncodingRecord(Record):
    num_rows: int
    dim: int
    num_long: int
    """Captions that exceed the encoder's context."""


@dataclass(frozen=True, kw_only=True)
class EncodeJob(PartitionJob[EncodingRecord]):
    """Makes the representations of one partition's captions, in the order of `captions.rows`."""

    record_type = EncodingRecord
    captions: Picked
    encoder: EncoderChoice
    given: Path | None = None
    """File with a vector for each row of the captions' shard, instead of the encoder."""

    def run(self, work: Work) -> EncodingRecord:
        table = take_rows(read_table(self.captions.path, CAPTIONS, ["id", "caption", "domain"]), self.captions.rows)
        if self.given:
            encoded = Encoded(read_vectors(self.given)[list(self.captions.rows)], num_long=0)
            work.rows(table.num_rows)
        else:
            with work.engine(self.encoder.text_identity, self.encoder.open) as encoder:
                encoded = encoder.encode(table.column("caption").to_pylist(), work.rows)
        with in_shard(self.partition, self.captions.rows):
            moments = DomainMoments.of(encoded.vectors, table.column("domain").to_pylist())
        write_vectors(self.shard(KIND), table.column("id"), encoded.vectors)
        write_table(self.shard("moments"), moments.to_table(), MOMENTS)
        facts = {"num_rows": table.num_rows, "dim": encoded.vectors.shape[1], "num_long": encoded.num_long}
        return self.finish(work, KIND, "moments", **facts)


class AlignmentRecord(Record):
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class AlignJob(PartitionJob[AlignmentRecord]):
    """The first of two passes of a transfer, over some partitions."""

    record_type = AlignmentRecord
    parts: tuple[tuple[str, tuple[int, ...], Path], ...]
    """Name, rows in the captions' shard, and vectors of each partition."""
    alignment: FirstPass

    def run(self, work: Work) -> AlignmentRecord:
        result = self.alignment.result.merged(self._measured())
        write_table(self.shard(_RESULT), result.to_table(), TENSORS)
        num_rows = sum(len(rows) for _, rows, _ in self.parts)
        work.rows(num_rows)
        return self.finish(work, _RESULT, num_rows=num_rows)

    def _measured(self) -> Iterator[Part]:
        for partition, rows, vectors in self.parts:
            with in_shard(partition, rows):
                yield self.alignment.measure(read_vectors(vectors))


@dataclass
class Representations:
    """The location of the vectors, and the transfer for them."""

    step: Step
    text: DomainMoments
    statistics: TransferStatistics
    transfer: Transfer
    asked: str
    """The recipe's transfer; differs from `transfer` if it needs image statistics and there are none."""
    image: ImageStatistics | None
    num_long: int
    """Captions that exceed the encoder's context."""
    seconds: float
    """Worker time for encoding."""

    @property
    def identity(self) -> str:
        """Fingerprint of the published representations, without the storage type."""
        statistics = self.statistics.identity(image=self.transfer.needs_images)
        return fingerprint(self.step.folder.name, TRANSFERS.identity(self.transfer.name), statistics)

    @property
    def dim(self) -> int:
        return self.text.overall.dim

    def path(self, partition: str) -> Path:
        return self.step.shard(partition, KIND)

    def facts(self, encoder: EncoderChoice, dtype: str) -> RepresentationFacts:
        """The facts to publish; `encoder` made the vectors, which are stored as `dtype`."""
        text, image = self.statistics.text, self.image
        return RepresentationFacts(
            encoder=published_encoder(encoder.name),
            dim=self.dim,
            transfer=self.transfer.name,
            transfer_asked=self.asked,
            dtype=dtype,
            has_image_side=encoder.has_image_side,
            num_long=self.num_long,
            long_captions=encoder.long_captions,
            text_mean_norm=_norm(text.mean),
            text_trace=text.trace,
            image=ImageFacts(
                source=image.source,
                num_images=image.moments.count,
                mean_norm=_norm(image.moments.mean),
                trace=image.moments.trace,
                mean_gap=_norm(image.moments.mean - text.mean),
            )
            if image
            else None,
        )


def _norm(vector: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vector))


@dataclass
class RepresentationStage:
    """Encodes all captions of the set and fits the transfer over them."""

    recipe: Recipe
    captions: Sequence[Picked]
    encoder: EncoderChoice
    work_dir: Path
    image: ImageStatistics | None = None
    given: Callable[[str], Path | None] | None = None
    """Returns the file with the vectors of a partition's captions, if they were imported."""
    step: Step = field(init=False)

    def __post_init__(self) -> None:
        self.step = Step.of(self.work_dir, STAGE, self.encoder.text_identity, CODE)
        self.captions = [picked for picked in self.captions if picked.rows]

    def run(self, pool: WorkerPool, progress: Progress) -> Representations:
        progress.start(STAGE, sum(len(picked.rows) for picked in self.captions))
        jobs = [
            EncodeJob(
                step=self.step,
                partition=picked.partition,
                inputs=fingerprint(picked.identity),
                label=f"{STAGE} {picked.partition}, of {picked.path}",
                captions=picked,
                encoder=self.encoder,
                given=self.given(picked.partition) if self.given else None,
            )
            for picked in self.captions
        ]
        on_gpu = self.encoder.uses_gpu and self.given is None
        records = pool.run(jobs, _counted(progress), on_gpu=on_gpu)
        progress.finish()
        text = self._text_moments()
        asked = self.recipe.representations.transfer
        name = self._transfer(asked, progress)
        transfer = TRANSFERS.get(name)
        kept, size = self.image.vectors if self.image else None, transfer.num_image_vectors
        statistics = TransferStatistics(
            text.overall,
            self.image.moments if self.image else None,
            seed=self.recipe.random_seed,
            image_vectors=kept.first(size) if kept and size else None,
        )
        if transfer.moves_texts:
            first = self.captions[0]
            text.overall.check_spread(f"the text vectors, from shard {first.partition}, row {first.rows[0]} on")
        if transfer.first_pass:
            statistics = self._aligned(transfer.first_pass.fit(statistics), statistics, pool, progress)
        return Representations(
            step=self.step,
            text=text,
            statistics=statistics,
            transfer=self._fitted(name, statistics, progress),
            asked=asked,
            image=self.image,
            num_long=sum(record.num_long for record in records),
            seconds=sum(record.seconds for record in records),
        )

    def _transfer(self, asked: str, progress: Progress) -> str:
        transfer = TRANSFERS.get(asked)
        if not transfer.needs_images or self.image:
            return asked
        progress.note(
            f"warning: the transfer {asked} needs image statistics (--image-statistics, made by `unicorn-hf "
            f"calibrate`), but there are none: {transfer.fallback} is used instead"
        )
        return transfer.fallback

    def _fitted(self, name: str, statistics: TransferStatistics, progress: Progress) -> Transfer:
        """The transfer. The result of a training is stored, since a build that resumes needs the same one again."""
        kind = TRANSFERS.get(name)
        if not kind.is_trained:
            return kind.fit(statistics)
        identity = TRANSFERS.identity(name), statistics.identity(image=True), CODE
        step = Step.of(self.work_dir, FITTING, self.step.folder.name, *identity)
        shard = step.shard(_MERGED, "tensors")
        if not step.find(_MERGED, "", Record):
            progress.start(FITTING, 1, "transfers")
            write_table(shard, tensor_table(kind.fit(statistics).tensors), TENSORS)
            step.finish(_MERGED, Record(inputs="", num_bytes=step.sizes(_MERGED, "tensors")))
            progress.finish()
        return kind.restored(statistics, tensors_of(read_table(shard, TENSORS)))

    def _aligned(
        self, alignment: FirstPass, statistics: TransferStatistics, pool: WorkerPool, progress: Progress
    ) -> TransferStatistics:
        identity = statistics.identity(image=True), _ALIGNMENT_CODE
        step = Step.of(self.work_dir, ALIGNMENT, self.step.folder.name, *identity)
        progress.start(ALIGNMENT, statistics.text.count)
        jobs = [
            AlignJob(
                step=step,
                partition=parts[0].partition,
                inputs=fingerprint(*(picked.identity for picked in parts)),
                label=f"{ALIGNMENT} {parts[0].partition} to {parts[-1].partition}",
                parts=tuple((one.partition, one.rows, self.step.shard(one.partition, KIND)) for one in parts),
                alignment=alignment,
            )
            for parts in self._grouped(alignment.rows_per_part)
        ]
        pool.run(jobs, _counted(progress))
        progress.finish()
        tables = (read_table(step.shard(job.partition, _RESULT), TENSORS) for job in jobs)
        return replace(statistics, first=alignment.result.merged(map(alignment.result.from_table, tables)))

    def _grouped(self, num_rows: int) -> Iterator[list[Picked]]:
        """Successive partitions that have at least `num_rows` rows together; the last group may have fewer."""
        group: list[Picked] = []
        for picked in self.captions:
            group.append(picked)
            if sum(len(one.rows) for one in group) >= num_rows:
                yield group
                group = []
        if group:
            yield group

    def _text_moments(self) -> DomainMoments:
        """Of all partitions together: a shard of its own, since a build that resumes has thousands of them to read."""
        step = Step.of(self.work_dir, "moments", self.step.folder.name)
        inputs = fingerprint(*(picked.identity for picked in self.captions))
        shard = step.shard(_MERGED, "moments")
        if not step.find(_MERGED, inputs, Record):
            tables = (read_table(self.step.shard(picked.partition, "moments"), MOMENTS) for picked in self.captions)
            write_table(shard, DomainMoments.merged(map(DomainMoments.from_table, tables)).to_table(), MOMENTS)
            step.finish(_MERGED, Record(inputs=inputs, num_bytes=step.sizes(_MERGED, "moments")))
        return DomainMoments.from_table(read_table(shard, MOMENTS))


def image_side(recipe: Recipe) -> ImageStatistics | None:
    """Load the recipe's image statistics.

    Raises:
        InputError: the file is missing, of another kind, from another encoder than the recipe's, or without something
            that the recipe's transfer needs.
    """
    path, encoder = recipe.representations.image_statistics, recipe.representations.encoder
    if path is None:
        return None
    statistics = load_image_statistics(Path(path))
    if statistics.encoder_id != encoder_id(encoder):
        raise InputError(
            f"{path} was made with the encoder {statistics.encoder}, but the build uses {encoder}, another model",
            f"Recompute it: unicorn-hf calibrate --images DATASET_OR_FOLDER --encoder {encoder} --out {path}",
        )
    covariance = statistics.moments if isinstance(statistics.moments, Covariance) else None
    TRANSFERS.get(recipe.representations.transfer).check_images(covariance, statistics.vectors)
    return statistics


def _counted(progress: Progress) -> Callable[[EncodingRecord | AlignmentRecord], None]:
    add = progress.counter()
    return lambda record: add(record.num_rows)
