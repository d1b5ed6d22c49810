"""Sealed Parquet files of a few thousand answers each, with their keys."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.schemas import ANSWERS
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.files import DamagedShardError, write_table

ENDING = ".parquet"
Keys = NDArray[np.uint64]


def write_segment(path: Path, answers: Iterable[tuple[str, Answer]]) -> Keys:
    """Write a segment; return the keys of its rows, in order."""
    rows = list(answers)
    columns: list[list[Any]] = [[key for key, _ in rows]]
    columns += [[getattr(answer, name) for _, answer in rows] for name in ANSWERS.names[1:]]
    write_table(path, pa.table(columns, schema=ANSWERS), ANSWERS)
    return as_numbers([key for key, _ in rows])


def read_keys(path: Path) -> Keys:
    """Read the keys of a segment's rows, in order. The seal is checked later, when the answers are read.

    Raises:
        DamagedShardError: the file is missing, or not a segment.
    """
    try:
        with cast(Any, path).open("rb") as file, pq.ParquetFile(file) as segment:
            column = segment.read(["key"], use_threads=False).column("key")
        return as_numbers(column.to_pylist())
    except FileNotFoundError as error:
        raise DamagedShardError(path, "is missing") from error
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DamagedShardError(path, f"is damaged: {error}") from error


@lru_cache(maxsize=1 << 14)
def num_rows(path: Path) -> int:
    """Number of answers in a segment, by its footer; 0 if it is unreadable. Cached: a segment never changes."""
    try:
        with cast(Any, path).open("rb") as file:
            return int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowException, *storage.errors()):
        return 0


def answers_in(table: pa.Table, rows: "NDArray[np.uint32] | None" = None) -> list[Answer]:
    """Convert rows of a segment to answers: those given, in that order, or all."""
    taken = table if rows is None else table.take(pa.array(rows))
    *columns, tokens_told = (taken.column(name).to_pylist() for name in ANSWERS.names[1:])
    # Null in segments of versions without this column.
    return [Answer(*values) for values in zip(*columns, (told is not False for told in tokens_told), strict=True)]


def entries_in(table: pa.Table) -> Iterator[tuple[str, Answer]]:
    """Yield all answers of a segment with their keys."""
    yield from zip(table.column("key").to_pylist(), answers_in(table), strict=True)


def as_numbers(keys: Sequence[str]) -> Keys:
    """Convert keys of 16 hex digits to numbers."""
    return np.frombuffer(bytes.fromhex("".join(keys)), ">u8").astype(np.uint64)
