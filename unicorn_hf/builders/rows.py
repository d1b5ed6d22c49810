"""Read a built folder's rows in batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.builders.places import data_files, shards_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import CONVERSATIONS, MESSAGES
from unicorn_hf.reading.errors import reading_parquet
from unicorn_hf.reading.parquet_rows import BATCH_ROWS, by_group

_TYPES = {
    **dict.fromkeys(("id", "caption", "seed", "domain", "task"), pa.string()),
    "conversations": CONVERSATIONS,
    "messages": MESSAGES,
}
_VECTORS = "image_embedding"
_ADVICE = "`unicorn-hf validate` lists all problems of a set."


def batches(folder: Path, config: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns of a config's rows in order. Without conversations, `instruction` has no rows.

    Raises:
        InputError: there is no set, a file cannot be read, or its columns differ from those that a build writes.
    """
    yield from _read(folder, config, columns, partial(by_group, batch_size=BATCH_ROWS, columns=columns))


def _read(
    folder: Path, config: str, columns: list[str], read: Callable[[pq.ParquetFile], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """Check the batches that `read` yields of each file."""
    vectors: pa.DataType | None = None
    for name in _shards(folder, config):
        start = 0
        with _opened(folder, name) as file:
            for batch in read(file):
                found = fitting(batch, columns, str(folder / name), start)
                if _VECTORS in columns:
                    kind = found.schema.field(_VECTORS).type
                    if vectors not in (None, kind):
                        message = f"{folder / name}: {_VECTORS} has the type {kind}, but earlier files have {vectors}"
                        raise InputError(message, _ADVICE)
                    vectors = kind
                yield found
                start += batch.num_rows


def fitting(
    batch: pa.RecordBatch, columns: Sequence[str], name: str, start: int = 0, *, nulls: bool = False
) -> pa.RecordBatch:
    """Return a batch with these columns in the types that a build writes, with valid UTF-8.

    Args:
        name: the file's name in errors.
        start: the row number of the batch's first row in the file.
        nulls: whether text may be null. Vectors always may: see `vectors_of`.

    Raises:
        InputError: a column is missing, duplicated, of another type, or contains a null.
    """
    arrays = []
    for column in columns:
        if (number := batch.schema.names.count(column)) != 1:
            raise InputError(f"{name}: {'no' if not number else f'{number} columns of the name'} {column}", _ADVICE)
        arrays.append(_cast(batch.column(column), column, name))
        if not nulls and column != _VECTORS and _has_null(arrays[-1]):
            row = next(row for row in range(len(arrays[-1])) if _has_null(arrays[-1].slice(row, 1)))
            raise InputError(f"{name}, row {start + row}: {column} is or contains a null", _ADVICE)
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _cast(array: pa.Array, column: str, name: str) -> pa.Array:
    kind = array.type
    if column == _VECTORS:
        sized = pa.types.is_fixed_size_list(kind) and kind.list_size > 0
        if not sized or kind.value_type not in (pa.float16(), pa.float32()):
            raise InputError(f"{name}: {column} has the type {kind}, not vectors of one size", _ADVICE)
        return array
    wanted = _TYPES.get(column, kind)
    try:
        found = array.cast(wanted)
        found.validate(full=True)
    except pa.ArrowException as error:
        raise InputError(
            f"{name}: {column} has the type {kind}, but a build writes {wanted}: {error}", _ADVICE
        ) from error
    return found


def _has_null(array: pa.Array) -> bool:
    if array.null_count:
        return True
    if pa.types.is_list(array.type):
        return _has_null(array.flatten())
    if pa.types.is_struct(array.type):
        return any(_has_null(array.field(at)) for at in range(array.type.num_fields))
    return False


def num_rows(folder: Path, config: str) -> int:
    """Count the rows of a config.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    number = 0
    for name in _shards(folder, config):
        with _opened(folder, name) as file:
            number += file.metadata.num_rows
    return number


def spread(folder: Path, config: str, columns: list[str], number: int) -> pa.Table:
    """Return `number` evenly spaced rows of a config, or all of them if there are no more.

    Only the row groups that contain one of them are read.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    total = num_rows(folder, config)
    wanted = np.unique(np.linspace(0, total - 1, min(number, total)).astype(np.int64))
    start = 0

    def here(num_rows: int) -> NDArray[np.int64]:
        """Which of the next rows are wanted."""
        first, last = np.searchsorted(wanted, (start, start + num_rows))
        return wanted[first:last] - start

    def taken(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        nonlocal start
        for group in range(file.num_row_groups):
            if not len(here(num_rows := file.metadata.row_group(group).num_rows)):
                start += num_rows
                continue
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=columns):
                yield batch.take(pa.array(here(batch.num_rows)))
                start += batch.num_rows

    found = list(_read(folder, config, columns, taken))
    return pa.Table.from_batches(found).combine_chunks() if found else pa.table({name: [] for name in columns})


def vectors_of(rows: pa.RecordBatch | pa.Table) -> NDArray[Any]:
    """Return the embeddings of rows, (rows, dim), in their stored type.

    Raises:
        InputError: a row has none.
    """
    column = rows.column(_VECTORS)
    if column.null_count:
        raise InputError(f"{column.null_count:,} rows have no vector: {_VECTORS} is null", _ADVICE)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.ascontiguousarray(found_vectors(column)[0])


def found_vectors(column: pa.FixedSizeListArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The vectors of a column that are not null, (rows, dim), and their rows."""
    rows = np.flatnonzero(np.asarray(column.is_valid()))
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), column.type.list_size), rows


def _shards(folder: Path, config: str) -> list[str]:
    """The config's files; a set without conversations has none for `instruction`."""
    names = shards_of(folder, config)
    if not names and not (config == "instruction" and data_files(folder, "pretrain")):
        raise InputError(f"{folder} contains no rows of {config}", "Name the folder that `unicorn-hf build` made.")
    return names


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[pq.ParquetFile]:
    with (
        reading_parquet(str(folder / name), f"Try: unicorn-hf validate {folder}"),
        pq.ParquetFile(folder / name) as file,
    ):
        groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        if min(groups, default=0) < 0 or sum(groups) != file.metadata.num_rows:
            raise ValueError(f"{file.metadata.num_rows:,} rows in total, but its row groups have {sum(groups):,}")
        yield file
