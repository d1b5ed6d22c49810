"""Seeds to shards: normalised, deduplicated, shuffled by a hash, in bounded memory.

A seed's place in the order is a hash of its text. Seeds go to buckets by the first bits of that hash; equal seeds meet
in the same bucket, and sorting the buckets one by one sorts them all. So sources are mixed in proportion all along the
order, and a build of fewer captions than seeds has the same mixture.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe import DatasetSource, Seeds, Source
from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.runtime.files import rows_table, write_table
from unicorn_hf.runtime.selection import SeedShards
from unicorn_hf.runtime.steps import Record, Step
from unicorn_hf.seeds.normalise import normalise
from unicorn_hf.seeds.sources import read_source, source_names, source_path

_NUM_BUCKETS = 64
_BUFFERED_ROWS = 4096
_RECORD = "seeds"


class SourceCount(BaseModel):
    """What one source gave."""

    name: str
    domain: str
    license: str
    num_seeds: int


class SeedsRecord(Record):
    """What all sources gave."""

    partitions: tuple[str, ...]
    """A fingerprint of each shard's seeds, in order."""
    num_seeds: int
    sources: tuple[SourceCount, ...]
    skipped: dict[str, int]
    """Seeds left out, by reason."""


def prepare_seeds(
    config: Seeds, *, random_seed: int, partition_rows: int, work_dir: Path
) -> tuple[SeedShards, SeedsRecord]:
    """Read all sources and write their seeds as shards, or find the shards of an earlier run over the same content.

    Raises:
        InputError: a source cannot be read as it is, or none holds a seed. No shard is left behind.
    """
    step = Step.of(work_dir, "seeds", config, random_seed, partition_rows)
    inputs = fingerprint([_content(source) for source in config.sources])
    record = step.find(_RECORD, inputs, SeedsRecord)
    if record is None:
        buckets = step.folder / "buckets"
        try:
            record = step.finish(_RECORD, _prepare(config, random_seed, partition_rows, step, buckets, inputs))
        except InputError:
            shutil.rmtree(step.folder, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(buckets, ignore_errors=True)
    paths = tuple(step.shard(_RECORD, kind) for kind in record.num_bytes)
    return SeedShards(paths, record.partitions, record.num_seeds), record


def check_sources(config: Seeds) -> None:
    """See, by its first seed, that each source that is a file can be read.

    Raises:
        InputError: a file is missing, empty, of an unknown kind, or lacks the column.
    """
    for source in config.sources:
        if not isinstance(source, DatasetSource) and next(read_source(source, 0), None) is None:
            raise InputError(f"no seeds in {source_path(source)}: the file is empty")


def _content(source: Source) -> str:
    if isinstance(source, DatasetSource):
        return fingerprint(source)
    path = source_path(source)
    if not path.is_file():
        raise InputError(f"no seed file {path}")
    return file_sha256(path)


def _prepare(
    config: Seeds, random_seed: int, partition_rows: int, step: Step, buckets: Path, inputs: str
) -> SeedsRecord:
    skipped: Counter[str] = Counter()
    _fill_buckets(config, random_seed, buckets, skipped)
    partitions: list[str] = []
    per_source: Counter[str] = Counter()
    for rows in _chunks(_sorted_rows(buckets, random_seed, skipped), partition_rows):
        write_table(step.shard(_RECORD, f"{len(partitions):05d}"), rows_table(rows, SEEDS), SEEDS)
        partitions.append(fingerprint([row["seed"] for row in rows]))
        per_source.update(str(row["source"]) for row in rows)
    if not partitions:
        names = ", ".join(source.path for source in config.sources)
        raise InputError(f"no seeds in {names}: {_reasons(skipped)}")
    return SeedsRecord(
        inputs=inputs,
        num_bytes=step.sizes(_RECORD, *(f"{shard:05d}" for shard in range(len(partitions)))),
        partitions=tuple(partitions),
        num_seeds=per_source.total(),
        sources=tuple(
            SourceCount(
                name=name,
                domain=source.domain,
                license=source.license,
                num_seeds=per_source[name],
            )
            for name, source in zip(source_names(config.sources), config.sources, strict=True)
        ),
        skipped=dict(sorted((+skipped).items())),
    )


def _reasons(skipped: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in (+skipped).items()) or "the files are empty"


def _fill_buckets(config: Seeds, random_seed: int, buckets: Path, skipped: Counter[str]) -> None:
    buckets.mkdir(parents=True, exist_ok=True)
    sinks = [pa.OSFile(str(buckets / f"{bucket:02d}.arrow"), "wb") for bucket in range(_NUM_BUCKETS)]
    writers = [pa.ipc.new_stream(sink, SEEDS) for sink in sinks]
    buffers: list[list[dict[str, object]]] = [[] for _ in range(_NUM_BUCKETS)]

    def flush(bucket: int) -> None:
        writers[bucket].write_table(rows_table(buffers[bucket], SEEDS))
        buffers[bucket].clear()

    try:
        for row in _rows(config, random_seed, skipped):
            bucket = _order(random_seed, str(row["seed"])) * _NUM_BUCKETS >> 63
            buffers[bucket].append(row)
            if len(buffers[bucket]) >= _BUFFERED_ROWS:
                flush(bucket)
        for bucket in range(_NUM_BUCKETS):
            flush(bucket)
    finally:
        for writer, sink in zip(writers, sinks, strict=True):
            writer.close()
            sink.close()


def _rows(config: Seeds, random_seed: int, skipped: Counter[str]) -> Iterator[dict[str, object]]:
    for name, source in zip(source_names(config.sources), config.sources, strict=True):
        for text in read_source(source, random_seed):
            seed = normalise(text)
            if not seed:
                skipped["blank"] += 1
            elif len(seed) > config.max_characters:
                skipped["too_long"] += 1
            else:
                yield {"seed": seed, "source": name, "domain": source.domain}


def _sorted_rows(buckets: Path, random_seed: int, skipped: Counter[str]) -> Iterator[dict[str, object]]:
    for bucket in range(_NUM_BUCKETS):
        with pa.memory_map(str(buckets / f"{bucket:02d}.arrow")) as file:
            rows = pa.ipc.open_stream(file).read_all().to_pylist()
        first: dict[str, dict[str, object]] = {}
        for row in rows:
            first.setdefault(row["seed"], row)
        skipped["duplicate"] += len(rows) - len(first)
        yield from sorted(first.values(), key=lambda row: (_order(random_seed, str(row["seed"])), row["seed"]))


def _order(random_seed: int, seed: str) -> int:
    return stable_int(str(random_seed), "order", seed)


def _chunks(rows: Iterator[dict[str, object]], size: int) -> Iterator[list[dict[str, object]]]:
    chunk: list[dict[str, object]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
