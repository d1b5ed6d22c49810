"""Shards of vectors between the encoder and packaging: uncompressed Arrow IPC. Tables of a transfer's tensors.

Parquet takes 6 times as long to write such a column and 100 times as long to read it, and saves 7 % of its bytes: see
docs/decisions/0004.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unicorn_hf.core.schemas import TENSORS, embeddings
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.runtime.files import read_arrow, write_arrow

KIND = "embeddings.arrow"


def write_vectors(path: Path, ids: Sequence[str] | pa.ChunkedArray, vectors: NDArray[np.float32]) -> None:
    """Write vectors with the ids of their captions, as one shard."""
    write_arrow(path, pa.table([ids, vector_column(vectors)], schema=embeddings(vectors.shape[1])))


def read_vectors(path: Path) -> NDArray[np.float32]:
    """The vectors of a shard, (rows, dim), not writable.

    Raises:
        DamagedShardError: the shard is missing or altered.
    """
    chunks = read_arrow(path).column("embedding")
    # `combine_chunks` would copy a single chunk.
    column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
    rows: NDArray[np.float32] = column.flatten().to_numpy()
    return rows.reshape(-1, column.type.list_size)


def vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    """Vectors as a column of their type, without a copy."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), vectors.shape[1])


def find_vectors(paths: Iterable[Path], ids: Sequence[str]) -> NDArray[np.float32] | None:
    """The vectors of these captions, (ids, dim), from shards; None if any is missing."""
    wanted, found = pa.array(ids, pa.string()), dict[int, NDArray[np.float32]]()
    for path in paths:
        places = pc.index_in(wanted, value_set=read_arrow(path).column("id"))
        here = [(row, place) for row, place in enumerate(places.to_pylist()) if place is not None]
        if here:
            vectors = read_vectors(path)
            found |= {row: vectors[place].copy() for row, place in here}
    return np.stack([found[row] for row in range(len(ids))]) if ids and len(found) == len(ids) else None


def tensor_table(tensors: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Arrays by name, as a table of the schema `TENSORS`."""
    arrays = tensors.values()
    numbers = pa.array([array.tobytes() for array in arrays], pa.large_binary())
    columns = [list(tensors), [array.dtype.str for array in arrays], [array.shape for array in arrays], numbers]
    return pa.table(columns, schema=TENSORS)


def tensors_of(table: pa.Table) -> dict[str, NDArray[Any]]:
    """The arrays of such a table, not writable."""
    return {
        row["name"]: np.frombuffer(row["numbers"], np.dtype(row["dtype"])).reshape(row["shape"])
        for row in table.to_pylist()
    }
