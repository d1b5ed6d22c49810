"""A published folder's rows, some hundred at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.builders.places import data_files, file_names
from unicorn_hf.core.errors import InputError
from unicorn_hf.reading.files import BATCH_ROWS, by_group


def batches(folder: Path, config: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a config in order, with these columns; of a set without conversations `instruction` has none.

    Raises:
        InputError: there is no set, or a file cannot be read.
    """
    for name in _shards(folder, config):
        with _opened(folder, name) as file:
            yield from by_group(file, batch_size=BATCH_ROWS, columns=columns)


def num_rows(folder: Path, config: str) -> int:
    """Rows of a config.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    number = 0
    for name in _shards(folder, config):
        with _opened(folder, name) as file:
            number += file.metadata.num_rows
    return number


def spread(folder: Path, config: str, columns: list[str], number: int) -> pa.Table:
    """`number` rows from all over a config, at equal distances; all of them where there are no more.

    Only the row groups that hold one of them are read.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    total = num_rows(folder, config)
    if not total:
        return pa.table({name: [] for name in columns})
    wanted = np.unique(np.linspace(0, total - 1, min(number, total)).astype(np.int64))
    tables, start = [], 0
    for name in _shards(folder, config):
        with _opened(folder, name) as file:
            tables.append(file.schema_arrow.empty_table().select(columns))
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                here = wanted[(wanted >= start) & (wanted < end)] - start
                if len(here):
                    tables += _taken(file, group, columns, here)
                start = end
    return pa.concat_tables(tables).combine_chunks()


def _taken(file: pq.ParquetFile, group: int, columns: list[str], rows: NDArray[np.int64]) -> Iterator[pa.Table]:
    """Rows of a row group by their numbers in it, which ascend."""
    start = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=columns):
        here = rows[(rows >= start) & (rows < start + batch.num_rows)] - start
        yield pa.table(batch.take(pa.array(here)))
        start += batch.num_rows


def vectors_of(batch: pa.RecordBatch) -> NDArray[Any]:
    """The embeddings of a batch, (rows, dim), in the type that they are stored in."""
    column = batch.column("image_embedding")
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(flat.reshape(len(column), -1))


def _shards(folder: Path, config: str) -> list[str]:
    """The config's files; a set may be without conversations, and then has none of `instruction`."""
    names = [name for name in data_files(file_names(folder), config) if name.endswith(".parquet")]
    if not names and not (config == "instruction" and data_files(file_names(folder), "pretrain")):
        raise InputError(f"{folder} holds no rows of {config}", "Name the folder that `unicorn-hf build` made.")
    return names


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(folder / name) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{folder / name}: not readable: {error}", f"Try: unicorn-hf validate {folder}") from error
