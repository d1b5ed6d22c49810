"""Shards of vectors between the encoder and packaging: Arrow IPC, not compressed, read by mapping the file.

Parquet takes six times as long to write such a column and a hundred times to read it, and saves 7 % of its bytes: see
docs/decisions/0004.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.core.schemas import embeddings
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.runtime.files import atomic

KIND = "embeddings.arrow"


def write_vectors(path: Path, ids: Sequence[str] | pa.ChunkedArray, vectors: NDArray[np.float32]) -> None:
    """Write vectors beside the ids of their captions, as one shard."""
    schema = embeddings(vectors.shape[1])
    table = pa.table([ids, vector_column(vectors)], schema=schema)
    with atomic(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_table(table.combine_chunks())


def read_vectors(path: Path) -> NDArray[np.float32]:
    """The vectors of a shard, (rows, dim), in the file's own pages: not writable."""
    with pa.memory_map(str(path)) as file:
        chunks = pa.ipc.open_file(file).read_all().column("embedding")
    # Putting one chunk together would copy it.
    column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
    rows: NDArray[np.float32] = column.flatten().to_numpy()
    return rows.reshape(-1, column.type.list_size)


def vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    """Vectors as a column of their type, without a copy."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), vectors.shape[1])
