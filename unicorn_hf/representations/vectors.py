"""Shards of vectors between the encoder and packaging: Arrow IPC, not compressed, read by mapping the file.

Parquet takes eight times as long to write such a column and a hundred times to read it, and saves 7 % of its bytes: see
docs/decisions/0004.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.core.schemas import embeddings
from unicorn_hf.runtime.files import atomic

KIND = "embeddings.arrow"


def write_vectors(path: Path, ids: Sequence[str] | pa.ChunkedArray, vectors: NDArray[np.float32]) -> None:
    """Write vectors beside the ids of their captions, as one shard."""
    dim = vectors.shape[1]
    schema = embeddings(dim)
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), dim)
    table = pa.table([ids, column], schema=schema)
    with atomic(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_table(table.combine_chunks())


def read_vectors(path: Path, dim: int) -> NDArray[np.float32]:
    """The vectors of a shard, (rows, dim), in the file's own pages: not writable."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all().select(["embedding"]).cast(embeddings(dim).remove(0))
    rows: NDArray[Any] = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return rows.reshape(-1, dim)
