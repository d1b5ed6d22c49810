"""Atomic files, and shards of tables: a file under its final name is complete, and later changes are detected."""

import errno
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.seal import UNSEALED, seal_of, sealed

_SEAL = "unicorn-hf.seal"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


class DamagedShardError(RunError):
    """A shard is missing or altered. See `Step.record_of` for how to rebuild it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} {why}", "Check the disk; run the same command again to rebuild it.")
        self.path = path
        self.why = why

    def __reduce__(self) -> tuple[type["DamagedShardError"], tuple[Path, str]]:
        return type(self), (self.path, self.why)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Convert errors of the disk and of remote storage.

    Raises:
        RunError: the disk is full, read-only, or not writable for this user; or remote storage fails.
    """
    try:
        yield
    except storage.errors() as error:
        raise RunError(
            f"the storage refuses the request or does not answer: {error}",
            "Check the URL, the permissions and the network, and run the command again: all finished partitions are"
            " kept.",
        ) from error
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise RunError(
            f"cannot write {error.filename or 'a shard'}: {error.strerror}",
            "Free some space or fix the folder's permissions, and run the command again: all finished partitions are"
            " kept.",
        ) from error


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary local path to write to; it becomes `path` atomically when the block ends without error.

    For a local `path` the temporary file is beside it, synced and renamed; for a remote one it is uploaded.
    """
    if storage.is_remote(path):
        with tempfile.TemporaryDirectory(prefix="unicorn-hf-") as folder:
            yield Path(folder) / path.name
            storage.upload(Path(folder) / path.name, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # With the thread's id: a partition that is scheduled again may still run in another thread.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # The temporary name would not help the user, and a write to an open file names no file.
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | bytearray) -> None:
    if storage.is_remote(path):
        storage.put(path, bytes(content))
        return
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> str:
    """Write `table` as one sealed Parquet shard of exactly `schema`; return the seal.

    Raises:
        KeyError: a column is missing; nothing is written.
        ValueError: a column does not fit, or has nulls where the schema has none; nothing is written.
    """
    table = table.select(schema.names).cast(schema)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=False, store_schema=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_SEAL: UNSEALED})
    return _write_sealed(path, sink)


def write_arrow(path: Path, table: pa.Table) -> str:
    """Write `table` as one sealed Arrow file, its columns as in memory; return the seal."""
    schema = table.schema.with_metadata({_SEAL: UNSEALED})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table.combine_chunks().cast(schema))
    return _write_sealed(path, sink)


def _write_sealed(path: Path, sink: pa.BufferOutputStream) -> str:
    content = sealed(memoryview(sink.getvalue()))
    write_bytes(path, content)
    seal = seal_of(content)
    assert seal
    return seal


def read_sealed(path: Path) -> bytes:
    """Return the bytes of a sealed file.

    Raises:
        DamagedShardError: the file is missing, unreadable or altered.
    """
    try:
        # Not memory-mapped: truncation of a mapped file, or a bad sector, would kill the process.
        content = storage.read(path)
    except FileNotFoundError as error:
        raise DamagedShardError(path, "is missing") from error
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedShardError(path, f"cannot be read: {error.strerror}") from error
    check_seal(path, content)
    return content


def check_seal(path: Path, content: bytes) -> None:
    """
    Raises:
        DamagedShardError: the bytes differ from those written to `path`.
    """
    if seal_of(content) is None:
        raise DamagedShardError(path, "is damaged: its bytes differ from those that were written")


def rows_table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a shard that was written with `schema`, or some of its columns.

    Nullable columns that an earlier version did not write are null.

    Raises:
        DamagedShardError: the shard is missing or altered, or has another schema.
    """
    names = columns or schema.names
    content = pa.BufferReader(read_sealed(path))
    try:
        # `pq.read_table` opens a data set and takes twice as long; there are thousands of shards.
        with pq.ParquetFile(content) as file:
            written = [name for name in names if name in file.schema_arrow.names or not schema.field(name).nullable]
            table = file.read(written, use_threads=False)
        for name in names:
            if name not in written:
                table = table.append_column(name, pa.nulls(table.num_rows, schema.field(name).type))
        return table.select(names).cast(pa.schema([schema.field(name) for name in names]))
    except (pa.ArrowException, KeyError) as error:
        raise DamagedShardError(path, f"is of another version: {error}") from error


def read_arrow(path: Path) -> pa.Table:
    """Read what `write_arrow` wrote.

    Raises:
        DamagedShardError: the file is missing or altered.
    """
    return pa.ipc.open_file(pa.BufferReader(read_sealed(path))).read_all()


def map_arrow(path: Path) -> pa.Table:
    """Like `read_arrow`, for a few rows of many shards: memory-mapped, and checked once per process.

    Raises:
        DamagedShardError: the file is missing or altered.
    """
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise DamagedShardError(path, "is missing") from error
    return pa.ipc.open_file(pa.memory_map(str(_checked(path, stat.st_size, stat.st_mtime)))).read_all()


@lru_cache(maxsize=1 << 14)
def _checked(path: Path, num_bytes: int, written: float) -> Path:
    """A checked local file with the content of `path`; size and time are part of the cache key."""
    content = read_sealed(path)
    if not storage.is_remote(path):
        return path
    copy = Path(_copies().name) / f"{blake2b(str((path, written)).encode(), digest_size=16).hexdigest()}"
    copy.write_bytes(content)
    return copy


@lru_cache(maxsize=1)
def _copies() -> "tempfile.TemporaryDirectory[str]":
    """Deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="unicorn-hf-")


def take_rows(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Take rows of a table by position, in the order given."""
    return table.take(pa.array(rows, pa.int64()))
