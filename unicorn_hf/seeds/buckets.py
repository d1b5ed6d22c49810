"""Partitions rows into files by a hash: equal rows are in the same file, and each file fits in memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa

_NUM_BUCKETS = 256
_BUFFERED_ROWS = 64


class Buckets:
    """Writes rows of text in order; a context manager, at whose end the rows can be read."""

    def __init__(self, folder: Path, columns: tuple[str, ...]) -> None:
        self._folder = folder
        self._schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in columns])
        self._buffers: list[list[tuple[str, ...]]] = [[] for _ in range(_NUM_BUCKETS)]
        self._open = ExitStack()
        self._writers: list[pa.ipc.RecordBatchStreamWriter] = []

    def __enter__(self) -> "Buckets":
        for bucket in range(_NUM_BUCKETS):
            sink = self._open.enter_context(pa.OSFile(str(self._path(bucket)), "wb"))
            self._writers.append(self._open.enter_context(pa.ipc.new_stream(sink, self._schema)))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is None:
            for bucket in range(_NUM_BUCKETS):
                self._flush(bucket)
        self._open.close()

    def add(self, place: int, row: tuple[str, ...]) -> None:
        """Add a row with the 63-bit hash `place`: rows with higher hashes are in later files."""
        bucket = place * _NUM_BUCKETS >> 63
        self._buffers[bucket].append(row)
        if len(self._buffers[bucket]) >= _BUFFERED_ROWS:
            self._flush(bucket)

    def __iter__(self) -> Iterator[Iterator[tuple[str, ...]]]:
        """The rows of each file, in the order of addition."""
        return map(self._read, range(_NUM_BUCKETS))

    def _read(self, bucket: int) -> Iterator[tuple[str, ...]]:
        with pa.memory_map(str(self._path(bucket))) as file:
            for batch in pa.ipc.open_stream(file):
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _flush(self, bucket: int) -> None:
        if rows := self._buffers[bucket]:
            columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
            self._writers[bucket].write_batch(pa.record_batch(columns, schema=self._schema))
            rows.clear()

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:03d}.arrow"
