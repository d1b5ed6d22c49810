"""Sealed Parquet files of some thousand answers, and how to find one row of them by its key."""

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
    """Write a segment; returns the keys of its rows, in order."""
    rows = list(answers)
    columns: list[list[Any]] = [[key for key, _ in rows]]
    columns += [[getattr(answer, name) for _, answer in rows] for name in ANSWERS.names[1:]]
    write_table(path, pa.table(columns, schema=ANSWERS), ANSWERS)
    return as_numbers([key for key, _ in rows])


def read_keys(path: Path) -> Keys:
    """The keys of a segment's rows, in order. What else is in it is not looked at: whoever reads that checks the seal.

    Raises:
        DamagedShardError: it is no segment.
    """
    try:
        with cast(Any, path).open("rb") as file, pq.ParquetFile(file) as segment:
            column = segment.read(["key"], use_threads=False).column("key")
        return as_numbers(column.to_pylist())
    except FileNotFoundError as error:
        raise DamagedShardError(path, "is gone") from error
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DamagedShardError(path, f"is damaged: {error}") from error


@lru_cache(maxsize=1 << 14)
def num_rows(path: Path) -> int:
    """How many answers a segment holds, by its footer; 0 where it cannot be read. A segment never changes."""
    try:
        with cast(Any, path).open("rb") as file:
            return int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowException, *storage.errors()):
        return 0


def answers_in(table: pa.Table, rows: "NDArray[np.uint32] | None" = None) -> list[Answer]:
    """Rows of a segment as answers: some, in the order given, or all."""
    taken = table if rows is None else table.take(pa.array(rows))
    *columns, tokens_told = (taken.column(name).to_pylist() for name in ANSWERS.names[1:])
    # Of a version that did not write it, null.
    return [Answer(*values) for values in zip(*columns, (told is not False for told in tokens_told), strict=True)]


def entries_in(table: pa.Table) -> Iterator[tuple[str, Answer]]:
    """All answers of a segment with their keys."""
    yield from zip(table.column("key").to_pylist(), answers_in(table), strict=True)


def as_numbers(keys: Sequence[str]) -> Keys:
    """Keys, which are 16 hex digits, as numbers."""
    return np.frombuffer(bytes.fromhex("".join(keys)), ">u8").astype(np.uint64)
