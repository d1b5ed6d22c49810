"""Open a set, read 10,000 random rows with embeddings, run one shuffled epoch of 100,000; against two older ways.

    python benchmarks/loading.py [--rows 100000] [--dim 1280]

Each way runs in a process of its own and gives conversations and a float vector per row:

- parquet: our published folder through `datasets`; the first opening, which fills its cache, stands apart.
- json + npy: one JSON file and one memory-mapped float16 .npy file, rows by number.
- original: the original trainer's way, pickles of {"id", "caption", "embed"} in memory and a linear scan by id for each
  item. Measured on a fifth of the rows and 300 items, and scaled: opening and memory by the rows, reading by rows and
  items.
"""

import argparse
import json
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import CHUNK_ROWS, tables, write_shards

NUM_RANDOM = 10_000
BATCH = 256
SCANNED_PART = 5
NUM_SCANS = 300
PICKLE_ROWS = 10_000
NUM_SHARDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rows % (NUM_SHARDS * CHUNK_ROWS):
        parser.error(f"--rows must be a multiple of {NUM_SHARDS * CHUNK_ROWS}")
    if arguments.way:
        print(json.dumps(WAYS[arguments.way](arguments.folder, arguments.rows)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.rows, arguments.dim)
        show({way: run(way, folder, arguments.rows) for way in WAYS}, arguments.rows)


def make(folder: Path, num_rows: int, dim: int) -> None:
    """The same rows three times; the pickles hold float32, as the original ones do."""
    write_shards(folder / "built", num_rows, dim, rows_per_shard=num_rows // NUM_SHARDS)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (num_rows, dim))
    items: list[dict[str, Any]] = []
    pickled: list[dict[str, Any]] = []
    for table in tables(num_rows, dim):
        embedded = table.column("image_embedding").combine_chunks().flatten().to_numpy().reshape(-1, dim)
        vectors[len(items) : len(items) + len(embedded)] = embedded
        rows = table.select(["id", "caption", "conversations"]).to_pylist()
        items += rows
        if len(items) <= num_rows // SCANNED_PART:
            pairs = zip(rows, embedded.astype(np.float32), strict=True)
            pickled += [{"id": row["id"], "caption": row["caption"], "embed": vector} for row, vector in pairs]
    (folder / "items.json").write_text(json.dumps(items))
    for start in range(0, len(pickled), PICKLE_ROWS):
        (folder / f"{start}.pkl").write_bytes(pickle.dumps(pickled[start : start + PICKLE_ROWS]))


def run(way: str, folder: str, num_rows: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--folder", folder, "--rows", str(num_rows)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def parquet(folder: Path, num_rows: int) -> dict[str, float]:
    import datasets

    datasets.disable_progress_bars()
    before = rss_mb("VmHWM")

    def load(**options: Any) -> Any:
        path, cache = str(folder / "built"), str(folder / "cache")
        rows = datasets.load_dataset(path, "pretrain", split="train", cache_dir=cache, **options)
        return rows.select_columns(["conversations", "image_embedding"])

    first_s, _ = timed(load)
    open_s, rows = timed(load)
    # Vectors as arrays, conversations as they are: as arrays of arrays they would take three times as long.
    columns = rows.with_format("numpy", columns=["image_embedding"], output_all_columns=True)
    order = shuffled(num_rows)
    random_s, _ = timed(lambda: [columns[int(place)] for place in order[:NUM_RANDOM]])
    read_s, _ = timed(lambda: [None for place in batches(order[:NUM_RANDOM]) if columns[place]])
    epoch_s, _ = timed(lambda: [None for place in batches(order) if columns[place]])
    memory, own_memory = rss_mb("VmHWM") - before, rss_mb("RssAnon")
    stream = load(streaming=True).with_format("numpy").shuffle(0, buffer_size=1000)
    stream_s, _ = timed(lambda: sum(1 for _ in stream))
    return {
        "first opening": first_s,
        "open": open_s,
        "random, one by one": random_s,
        f"random, by {BATCH}": read_s,
        "epoch": epoch_s,
        "epoch, streaming": stream_s,
        "memory": memory,
        "own memory": own_memory,
    }


def json_and_npy(folder: Path, num_rows: int) -> dict[str, float]:
    before = rss_mb("VmHWM")

    def load() -> tuple[list[Any], Any]:
        return json.loads((folder / "items.json").read_text()), np.load(folder / "vectors.npy", mmap_mode="r")

    open_s, (items, vectors) = timed(load)

    def read(places: Any) -> None:
        for place in places:
            _ = items[place]["conversations"], vectors[place].astype(np.float32)

    order = shuffled(num_rows)
    random_s, _ = timed(lambda: read(order[:NUM_RANDOM]))
    epoch_s, _ = timed(lambda: read(order))
    memory = rss_mb("VmHWM") - before
    return {"open": open_s, "random, one by one": random_s, "epoch": epoch_s, "memory": memory,
            "own memory": rss_mb("RssAnon")}  # fmt: skip


def original(folder: Path, num_rows: int) -> dict[str, float]:
    before = rss_mb("VmHWM")

    def load() -> list[dict[str, Any]]:
        found = []
        for path in sorted(folder.glob("*.pkl")):
            found += pickle.loads(path.read_bytes())  # noqa: S301 - written above
        return found

    open_s, embeddings = timed(load)
    json_s, items = timed(lambda: json.loads((folder / "items.json").read_text()))
    items = items[: len(embeddings)]

    def scan(places: Any) -> None:
        for place in places:
            for entry in embeddings:
                if entry["id"] == items[place]["id"]:
                    _ = items[place]["conversations"], entry["embed"]
                    break

    scan_s, _ = timed(lambda: scan(shuffled(len(embeddings))[:NUM_SCANS]))
    a_row_s = scan_s / NUM_SCANS * num_rows / len(embeddings)
    memory = (rss_mb("VmHWM") - before) * num_rows / len(embeddings)
    return {
        "open": open_s * num_rows / len(embeddings) + json_s,
        "random, one by one": a_row_s * NUM_RANDOM,
        "epoch": a_row_s * num_rows,
        "memory": memory,
        "own memory": memory,
    }


WAYS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "parquet": parquet,
    "json + npy": json_and_npy,
    "original": original,
}


def show(told: dict[str, dict[str, float]], num_rows: int) -> None:
    ours = told["parquet"]
    print(
        f"{num_rows:,} rows; processor seconds and MB; in brackets, times ours. 'original' is scaled from fewer rows.\n"
    )
    print("| | " + " | ".join(told) + " |\n|---|" + "---:|" * len(told))
    for what in ours:
        cells = [f"{way[what]:,.2f} ({way[what] / ours[what]:.1f})" if what in way else "" for way in told.values()]
        print(f"| {what} | " + " | ".join(cells) + " |")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, so that what else runs on the machine counts for nothing."""
    start = time.process_time()
    value = function()
    return time.process_time() - start, value


def shuffled(number: int) -> Any:
    return np.random.default_rng(1).permutation(number)


def batches(order: Any) -> list[Any]:
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def rss_mb(field: str) -> float:
    """VmHWM: the peak, mapped files included. RssAnon: what is the process's own now and cannot be taken back."""
    match = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) / 1024


if __name__ == "__main__":
    main()
