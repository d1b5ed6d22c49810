"""Atomic files. A file under its final name is whole, whatever was killed while it was written."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; synced and renamed to `path` when the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write `table` as one Parquet shard of exactly `schema`.

    Raises:
        KeyError: a column is missing; nothing is written.
        ValueError: a column does not fit, or has nulls where the schema has none; nothing is written.
    """
    table = table.select(schema.names).cast(schema)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False, store_schema=True)


def rows_table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a shard that was written with `schema`, or some columns of it."""
    names = columns or schema.names
    # In half the time of `pq.read_table`, which opens a data set for it; there are thousands of shards.
    with pq.ParquetFile(path, memory_map=True) as file:
        table = file.read(names, use_threads=False).select(names)
    return table.cast(pa.schema([schema.field(name) for name in names]))


def take_rows(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Some rows of a table, in the order given; none if none are given."""
    return table.take(pa.array(rows, pa.int64()))
