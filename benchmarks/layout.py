"""What row groups, page index and content-defined chunking cost and give, on one shard of a `pretrain` config.

    python benchmarks/layout.py [--rows 20000] [--dim 1280]

For each layout: size and time of writing; 100 random rows straight from the file; the bytes read for a column without
the embeddings; rows per second of `datasets` streaming, plain and shuffled; and the part of the file that Xet uploads
again when the first row, or 1 row in 1,000, was taken away, or 1 caption in 1,000 changed (hf_xet's own count, against
a local store that has got the first file). Times are the processor's, so that what else runs counts for nothing.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from synthetic import tables

NUM_RANDOM = 100
NUM_STREAMED = 5000
CHANGED_PART = 1000
LAYOUTS: dict[str, dict[str, Any]] = {
    f"{rows} rows{', page index' * index}{', chunked' * chunked}": {
        "row_group_size": rows,
        "write_page_index": index,
        "use_content_defined_chunking": chunked,
    }
    for rows, index in ((1000, False), (100, True), (1000, True), (10_000, True))
    for chunked in (False, True)
}
HEADINGS = (
    "MB",
    "write s",
    "random rows/s",
    "text MB read",
    "streamed rows/s",
    "shuffled rows/s",
    "again: first row away %",
    "again: 1 row in 1,000 away %",
    "again: 1 caption in 1,000 changed %",
)


class Counting:
    """A file that counts the bytes read from it, as a request of them over the network would be."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.num_bytes = 0
        self.closed = False
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close
        self.seekable = self.readable = lambda: True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.num_bytes += len(content)
        return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=1280)
    arguments = parser.parse_args()
    table = pa.concat_tables(tables(arguments.rows, arguments.dim))
    print("| layout | " + " | ".join(HEADINGS) + " |\n|---|" + "---:|" * len(HEADINGS))
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HOME": folder, "HF_HOME": folder}  # hf_xet keeps a cache of what it uploaded
        for number, (name, layout) in enumerate(LAYOUTS.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            print(
                f"| {name} | " + " | ".join(f"{value:,.1f}" for value in measure(place, table, layout)) + " |",
                flush=True,
            )


def measure(folder: Path, table: pa.Table, layout: dict[str, Any]) -> list[float]:
    path = folder / "train.parquet"
    write_s = timed(lambda: write(path, table, layout))
    places = np.random.default_rng(0).integers(0, table.num_rows, NUM_RANDOM)
    random_s = timed(lambda: [row(path, int(place)) for place in places])
    text = Counting(path)
    pq.ParquetFile(text).read(["caption"])
    again = []
    for number, changed in enumerate(changes(table)):
        store = folder / f"store{number}"
        first = uploaded(path, store)
        again.append(uploaded(write(folder / "again.parquet", changed, layout), store) / first)
    return [
        path.stat().st_size / 1e6,
        write_s,
        NUM_RANDOM / random_s,
        text.num_bytes / 1e6,
        *(NUM_STREAMED / timed(lambda shuffled=shuffled: stream(path, shuffled)) for shuffled in (False, True)),
        *(100 * part for part in again),
    ]


def write(path: Path, table: pa.Table, layout: dict[str, Any]) -> Path:
    """As `builders.package` does, but for the layout."""
    pq.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=["domain"],
        use_byte_stream_split=["image_embedding.list.element"],
        write_statistics=["id", "seed", "domain"],
        **layout,
    )
    return path


def row(path: Path, place: int) -> Any:
    """One row from the file as a viewer gets it: its row group, then the row."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        num_rows = file.metadata.row_group(group).num_rows
        if place < num_rows:
            return file.read_row_group(group).slice(place, 1).to_pylist()
        place -= num_rows
    raise IndexError(place)


def stream(path: Path, shuffled: bool) -> None:
    import datasets

    datasets.config.HF_HUB_OFFLINE = True
    rows = datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True).with_format("numpy")
    rows = rows.shuffle(0, buffer_size=1000) if shuffled else rows
    for _ in rows.take(NUM_STREAMED):
        pass


def changes(table: pa.Table) -> list[pa.Table]:
    number = np.arange(table.num_rows)
    kept = table.filter(pa.array(number % CHANGED_PART != CHANGED_PART // 2))
    captions = table.column("caption")
    changed = pc.if_else(
        pa.array(number % CHANGED_PART == 0), pc.binary_join_element_wise("A", captions, " "), captions
    )
    return [
        table.slice(1),
        kept,
        table.set_column(table.column_names.index("caption"), table.schema.field("caption"), changed),
    ]


def uploaded(path: Path, store: Path) -> int:
    """The bytes of the file that the store had not got yet."""
    from hf_xet import XetSession

    store.mkdir(exist_ok=True)
    commit = XetSession().new_upload_commit(endpoint=f"local://{store}")
    commit.start_upload_file(str(path))
    return int(commit.wait_to_finish().dedup_metrics.new_bytes)


def timed(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
