"""Process arrays of vectors in blocks of rows, and report invalid rows."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError

Vectors = NDArray[np.floating[Any]]
NO_DIRECTION = 1e-6
"""Norms below this are indistinguishable from rounding errors of float32 unit vectors."""
_BLOCK_BYTES = 1 << 18
"""A block and its float64 copy stay in a core's cache; four times larger or smaller blocks take 20 % more time."""


class RowError(InputError):
    """A row of an array is invalid. `in_shard` converts this to an `InputError` that names the shard too."""

    def __init__(self, reason: str, advice: str = "", row: int = 0) -> None:
        super().__init__(f"row {row}: {reason}", advice)
        self.reason = reason
        self.row = row

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        return InputError, (self.message, self.advice)


def blocks(vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
    """Yield the rows in blocks that fit a core's cache in float32, each with the number of its first row."""
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have the shape (rows, dimensions), not {vectors.shape}")
    size = max(1, _BLOCK_BYTES // (4 * max(1, vectors.shape[1])))
    for start in range(0, len(vectors), size):
        yield start, vectors[start : start + size]


def exact_blocks(vectors: Vectors) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the blocks as writable float64 copies; each overwrites the one before.

    A new buffer per block would take four times as long as the copy itself: the system allocates it page by page.
    """
    exact = np.empty((0, 0))
    single = np.empty((0, 0), dtype=np.float32)
    for start, block in blocks(vectors):
        if len(exact) < len(block):
            exact = np.empty(block.shape)
        if block.dtype == np.float16:
            # In every library, half to single to double is faster than half to double.
            single = single if len(single) >= len(block) else np.empty(block.shape, dtype=np.float32)
            copy_numbers(block, single[: len(block)])
            block = single[: len(block)]
        copy_numbers(block, exact[: len(block)])
        yield start, exact[: len(block)]


def copy_numbers(source: Vectors, target: Vectors) -> None:
    """Copy an array into another of the same shape, rounding to the nearest number of its type.

    If this process has imported torch, it converts half floats: the same bits as NumPy's, 5 times as fast to read and
    25 times as fast to write.
    """
    halves = (source.dtype == np.float16) != (target.dtype == np.float16)
    if halves and (torch := _torch()) is not None:
        torch.from_numpy(target).copy_(torch.from_numpy(source))
    else:
        np.copyto(target, source, casting="same_kind")


def _torch() -> Any:
    global _warned
    torch = sys.modules.get("torch")
    if torch is not None and not _warned:
        # torch warns once per process about read-only arrays; nothing writes to them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.from_numpy(np.frombuffer(bytes(4), dtype=np.float32))
        _warned = True
    return torch


_warned = False


@contextmanager
def in_shard(shard: str, rows: Sequence[int] | None = None) -> Iterator[None]:
    """Convert errors about a row of an array to errors about a row of `shard`; `rows` are the array's rows in it.

    Raises:
        InputError: instead of a `RowError`.
    """
    try:
        yield
    except RowError as error:
        row = rows[error.row] if rows is not None else error.row
        raise InputError(f"shard {shard}, row {row}: {error.reason}", error.advice) from None


@contextmanager
def at_rows(rows: Sequence[int] | NDArray[np.intp]) -> Iterator[None]:
    """Convert errors about a row of some of an array's rows to errors about a row of the array."""
    try:
        yield
    except RowError as error:
        raise RowError(error.reason, error.advice, row=int(rows[error.row])) from None
