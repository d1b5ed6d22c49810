"""Turn a build's shards into the published Parquet files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unicorn_hf.builders.diversity import Diversity
from unicorn_hf.builders.figures import ConfigFacts, RowFigures, ShardFacts, ShardStatistics, WordFacts
from unicorn_hf.builders.sketch import Sketch
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.language import language_of
from unicorn_hf.core.languages import word_lists
from unicorn_hf.core.messages import as_messages
from unicorn_hf.core.recipe import Packaging, Recipe
from unicorn_hf.core.schemas import CAPTIONS, CONVERSATIONS, INSTRUCTIONS, MESSAGES, instruction, pretrain
from unicorn_hf.representations.rows import in_shard
from unicorn_hf.representations.step import Representations
from unicorn_hf.representations.transfers import Transfer
from unicorn_hf.representations.vectors import read_vectors, vector_column
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import atomic, read_table, take_rows
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import PartitionJob, Record, Step
from unicorn_hf.runtime.work import Work

STAGE, _KIND = "packaging", "packaged"
CODE = 7
"""Raise it when the published format changes: then builds write the shards again."""
ConfigName = Literal["pretrain", "instruction"]
REQUESTS = (
    "Describe what can be seen here in detail.",
    "What does this picture show?",
    "Give a full account of everything visible.",
    "Write a detailed description of the scene.",
    "Look closely and say what is there, where it is and what it looks like.",
    "Please describe the subject and its surroundings.",
    "What is in view? Answer with all visible details.",
    "Describe this as exactly as you can.",
)
"""The human's requests in pretraining rows; a hash of the id picks one. The answer is the caption."""


class PackagingRecord(Record):
    """A published shard."""

    sha256: str
    num_arrow_bytes: int
    statistics: ShardStatistics
    diversity: Diversity
    """Of the captions; empty for `instruction`, whose captions are also in `pretrain`."""
    sketch: Sketch
    """Like `diversity`."""

    @property
    def num_file_bytes(self) -> int:
        return sum(self.num_bytes.values())


@dataclass(frozen=True)
class Part:
    """The rows of one caption partition for a config: all its captions, or those with a conversation."""

    captions: Picked
    embeddings: Path
    instructions: tuple[Picked, ...] = ()

    @property
    def identity(self) -> str:
        return fingerprint(self.captions.identity, [picked.identity for picked in self.instructions])


@dataclass(frozen=True, kw_only=True)
class PackageJob(PartitionJob[PackagingRecord]):
    """One published shard, made from some caption partitions in order."""

    record_type = PackagingRecord
    config: ConfigName
    parts: tuple[Part, ...]
    dim: int
    dtype: Literal["float16", "float32"]
    transfer: Transfer
    packaging: Packaging
    languages: tuple[str, ...]

    @property
    def path(self) -> Path:
        return self.shard(_KIND)

    def run(self, work: Work) -> PackagingRecord:
        statistics: list[ShardStatistics] = []
        diversity, sketch = Diversity(), Sketch()
        num_arrow_bytes = 0
        with atomic(self.path) as temporary:
            with _writer(temporary, self.schema) as writer:
                for table in _in_groups(map(self._table, self.parts), self.packaging.row_group_rows):
                    writer.write_table(table)
                    statistics.append(ShardStatistics.of(table))
                    if self.config == "pretrain":
                        captions, seeds = (table.column(name).to_pylist() for name in ("caption", "seed"))
                        diversity = Diversity.merged([diversity, Diversity.of(captions, seeds, self.languages)])
                        sketch = Sketch.merged([sketch, Sketch.of(captions)])
                    num_arrow_bytes += table.nbytes
                    work.rows(table.num_rows)
            sha256 = file_sha256(temporary)
        return self.finish(
            work,
            _KIND,
            sha256=sha256,
            num_arrow_bytes=num_arrow_bytes,
            statistics=ShardStatistics.merged(statistics),
            diversity=diversity,
            sketch=sketch,
        )

    @property
    def schema(self) -> pa.Schema:
        form = pretrain if self.config == "pretrain" else instruction
        return form(self.dim, self.dtype, messages=self.packaging.messages)

    def _table(self, part: Part) -> pa.Table:
        captions = take_rows(read_table(part.captions.path, CAPTIONS), part.captions.rows)
        vectors, rows = read_vectors(part.embeddings), part.captions.rows
        if self.config == "pretrain":
            conversations, task = _descriptions(captions, self.languages), None
        else:
            tables = [take_rows(read_table(picked.path, INSTRUCTIONS), picked.rows) for picked in part.instructions]
            chosen = pa.concat_tables(tables).sort_by("row")
            # Map rows of the caption shard to positions among the selected rows, which ascend.
            places = np.searchsorted(np.array(part.captions.rows), chosen.column("row").to_numpy())
            captions, vectors = captions.take(places), vectors[places]
            rows = tuple(rows[place] for place in places)
            conversations, task = chosen.column("conversations"), chosen.column("task")
        with in_shard(part.captions.partition, rows):
            moved = self.transfer.apply_text(vectors, captions.column("id").to_pylist(), self.dtype)
        columns = {
            "id": captions.column("id"),
            "caption": captions.column("caption"),
            "conversations": conversations,
            "image_embedding": vector_column(moved),
            "seed": captions.column("seed"),
            "domain": captions.column("domain"),
        }
        if self.packaging.messages:
            columns["messages"] = pa.array(map(as_messages, conversations.to_pylist()), MESSAGES)
        return pa.table(columns if task is None else columns | {"task": task}, schema=self.schema)


def _in_groups(tables: Iterator[pa.Table], num_rows: int) -> Iterator[pa.Table]:
    """Regroup rows into tables of `num_rows`; the last one may be shorter."""
    rest: pa.Table | None = None
    for table in tables:
        held = table if rest is None else pa.concat_tables([rest, table])
        whole = held.num_rows - held.num_rows % num_rows
        for start in range(0, whole, num_rows):
            yield held.slice(start, num_rows).combine_chunks()
        rest = held.slice(whole)
    if rest is not None and rest.num_rows:
        yield rest.combine_chunks()


@dataclass(frozen=True)
class PackagedConfig:
    """A config's published shards, in order. A config without rows has none: it would not load."""

    name: ConfigName
    shards: tuple[tuple[Path, PackagingRecord], ...]

    @property
    def facts(self) -> ConfigFacts:
        shards = tuple(
            ShardFacts(
                file=name,
                num_rows=record.statistics.num_rows,
                num_bytes=record.num_file_bytes,
                sha256=record.sha256,
            )
            for name, (_, record) in zip(self.file_names(), self.shards, strict=True)
        )
        return ConfigFacts(
            **self._statistics.model_dump(include=set(RowFigures.model_fields)),
            num_bytes=sum(record.num_arrow_bytes for _, record in self.shards),
            num_file_bytes=sum(shard.num_bytes for shard in shards),
            shards=shards,
        )

    @property
    def words(self) -> WordFacts:
        """Of the captions."""
        return WordFacts.of(self._statistics.caption_words)

    @property
    def _statistics(self) -> ShardStatistics:
        return ShardStatistics.merged(record.statistics for _, record in self.shards)

    @property
    def diversity(self) -> Diversity:
        return Diversity.merged(record.diversity for _, record in self.shards)

    @property
    def sketch(self) -> Sketch:
        return Sketch.merged(record.sketch for _, record in self.shards)

    @property
    def seconds(self) -> float:
        """Worker time."""
        return sum(record.seconds for _, record in self.shards)

    def file_names(self) -> list[str]:
        return [f"{self.name}/train-{shard:05d}-of-{len(self.shards):05d}.parquet" for shard in range(len(self.shards))]


def package(
    recipe: Recipe,
    captions: Sequence[Picked],
    instructions: dict[str, list[Picked]],
    representations: Representations,
    work_dir: Path,
    pool: WorkerPool,
    progress: Progress,
) -> list[PackagedConfig]:
    """Write the published shards of both configs into the work folder."""
    form = (representations.identity, recipe.representations.dtype, recipe.packaging, recipe.language, CODE)
    step = Step.of(work_dir, STAGE, *form)
    parts = [
        Part(picked, representations.path(picked.partition), tuple(instructions.get(picked.partition, ())))
        for picked in captions
        if picked.rows
    ]
    jobs = [
        PackageJob(
            step=step,
            partition=f"{config}-{shard:05d}",
            inputs=fingerprint([part.identity for part in group]),
            label=f"{STAGE} {config}-{shard:05d}, from {group[0].captions.path} on",
            config=config,
            parts=group,
            dim=representations.dim,
            dtype=recipe.representations.dtype,
            transfer=representations.transfer,
            packaging=recipe.packaging,
            languages=recipe.language,
        )
        for config in ("pretrain", "instruction")
        for shard, group in enumerate(_groups(parts, config, recipe.packaging.rows_per_shard))
    ]
    progress.start(STAGE, recipe.captions.num + recipe.instructions.num)
    add = progress.counter()
    records = pool.run(jobs, lambda record: add(record.statistics.num_rows))
    progress.finish()
    return [
        PackagedConfig(
            config, tuple((job.path, record) for job, record in zip(jobs, records, strict=True) if job.config == config)
        )
        for config in ("pretrain", "instruction")
    ]


def _groups(parts: Sequence[Part], config: ConfigName, rows_per_shard: int) -> Iterator[tuple[Part, ...]]:
    group: list[Part] = []
    num_rows = 0
    for part in parts:
        here = [part.captions] if config == "pretrain" else list(part.instructions)
        if number := sum(len(picked.rows) for picked in here):
            group.append(part if config == "instruction" else Part(part.captions, part.embeddings))
            num_rows += number
        if num_rows >= rows_per_shard:
            yield tuple(group)
            group, num_rows = [], 0
    if group:
        yield tuple(group)


def _descriptions(captions: pa.Table, languages: Sequence[str]) -> pa.ListArray:
    """Conversations of one pair: a request for a description in the caption's language, and the caption."""
    ids, texts, requests = (captions.column(name).to_pylist() for name in ("id", "caption", "request"))
    asked = [
        request or f"<image>\n{_request(row_id, language_of(text, languages))}"
        for row_id, text, request in zip(ids, texts, requests, strict=True)
    ]
    senders = pa.array(["human", "gpt"] * len(ids))
    values = pa.array([value for pair in zip(asked, texts, strict=True) for value in pair])
    turns = pa.StructArray.from_arrays([senders, values], fields=list(CONVERSATIONS.value_type))
    return pa.ListArray.from_arrays(np.arange(0, 2 * len(ids) + 1, 2, dtype=np.int32), turns)


def _request(row_id: str, language: str) -> str:
    lists = word_lists(language)
    requests = lists.describe if lists else REQUESTS
    return requests[stable_int("request", row_id) % len(requests)]


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Byte stream split compresses plain vectors best; a dictionary only helps with repeated values.
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[name for name in ("domain", "task") if name in schema.names],
        use_byte_stream_split=["image_embedding.list.element"],
        # Statistics of vectors are useless, and cost as much time as writing.
        write_statistics=[name for name in ("id", "seed", "domain", "task") if name in schema.names],
        write_page_index=True,
        # Content-defined pages: an upload of a changed set skips the unchanged pages.
        use_content_defined_chunking=True,
        store_schema=True,
    )
