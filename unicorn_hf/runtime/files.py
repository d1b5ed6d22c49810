"""Atomic files, and shards of tables: a file under its final name is whole, and what altered it since is noticed."""

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
    """A shard that is gone, or not what was written. Once `Step.forget` took its record away, it is made again."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} {why}", "See whether the disk is sound; the same command makes it again.")
        self.path = path
        self.why = why

    def __reduce__(self) -> tuple[type["DamagedShardError"], tuple[Path, str]]:
        return type(self), (self.path, self.why)


@contextmanager
def disk_errors() -> Iterator[None]:
    """What a disk refuses becomes an error for a person.

    Raises:
        RunError: it is full, read-only, or closed to this user; or storage elsewhere does not answer.
    """
    try:
        yield
    except storage.errors() as error:
        raise RunError(
            f"the storage refuses or does not answer: {error}",
            "All partitions that are done are kept: see to address, rights and network, and start again.",
        ) from error
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise RunError(
            f"cannot write {error.filename or 'a shard'}: {error.strerror}",
            "All partitions that are done are kept: make room, or mend the folder's rights, and start again.",
        ) from error


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary local path to write to; it becomes `path`, all at once, when the block ends without error.

    Beside a local `path` it is synced and renamed; for one elsewhere it is uploaded.
    """
    if storage.is_remote(path):
        with tempfile.TemporaryDirectory(prefix="unicorn-hf-") as folder:
            yield Path(folder) / path.name
            storage.upload(Path(folder) / path.name, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The thread's too: a partition that is given out again may still be at work in another one.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # The temporary name tells nobody anything, and a write to an open file names none.
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
    """Write `table` as one sealed Parquet shard of exactly `schema`; returns the seal.

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
    """Write `table` as one sealed Arrow file, its columns as they lie in memory; returns the seal."""
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
    """The bytes of a sealed file.

    Raises:
        DamagedShardError: it is gone or cannot be read, or is not what was written.
    """
    try:
        # Not mapped: of a file that is cut while it is mapped, or of a broken sector, the process would die.
        content = storage.read(path)
    except FileNotFoundError as error:
        raise DamagedShardError(path, "is gone") from error
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedShardError(path, f"cannot be read: {error.strerror}") from error
    check_seal(path, content)
    return content


def check_seal(path: Path, content: bytes) -> None:
    """
    Raises:
        DamagedShardError: the bytes are not those that were written to `path`.
    """
    if seal_of(content) is None:
        raise DamagedShardError(path, "is damaged: its bytes are not those that were written")


def rows_table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a shard that was written with `schema`, or some columns of it.

    A column that may be null, and that an earlier version did not write, is null.

    Raises:
        DamagedShardError: it is gone, is not what was written, or was written with another schema.
    """
    names = columns or schema.names
    content = pa.BufferReader(read_sealed(path))
    try:
        # In half the time of `pq.read_table`, which opens a data set for it; there are thousands of shards.
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
        DamagedShardError: it is gone, or is not what was written.
    """
    return pa.ipc.open_file(pa.BufferReader(read_sealed(path))).read_all()


def map_arrow(path: Path) -> pa.Table:
    """As `read_arrow`, for who needs a few rows of many shards: mapped, and checked once in each process.

    Raises:
        DamagedShardError: it is gone, or is not what was written.
    """
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise DamagedShardError(path, "is gone") from error
    return pa.ipc.open_file(pa.memory_map(str(_checked(path, stat.st_size, stat.st_mtime)))).read_all()


@lru_cache(maxsize=1 << 14)
def _checked(path: Path, num_bytes: int, written: float) -> Path:
    """A local file with the content of `path`, which was looked at when it had this size and time."""
    content = read_sealed(path)
    if not storage.is_remote(path):
        return path
    copy = Path(_copies().name) / f"{blake2b(str((path, written)).encode(), digest_size=16).hexdigest()}"
    copy.write_bytes(content)
    return copy


@lru_cache(maxsize=1)
def _copies() -> "tempfile.TemporaryDirectory[str]":
    """Goes with the process."""
    return tempfile.TemporaryDirectory(prefix="unicorn-hf-")


def take_rows(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Some rows of a table, in the order given; none if none are given."""
    return table.take(pa.array(rows, pa.int64()))
