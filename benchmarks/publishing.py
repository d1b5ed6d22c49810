"""Packaging rate: a published shard out of a build's shards, against `Dataset.from_list(...).to_parquet` of the rows.

    python benchmarks/publishing.py [--rows 20000] [--dim 1280]

Both ways run alone in a process of their own, in turn, several times; the medians are shown.

- ours: one job of `builders.package`, as a worker runs it: caption shards and vectors read from disk, the transfer
  (`mean_shift`), what is counted of each row, Parquet, the file's SHA-256.
- from_list: the same rows, the transfer done, as a list of dicts in memory when the clock starts; only
  `Dataset.from_list(...).to_parquet(...)` is timed.

MB/s are of the rows in memory, as Arrow. Memory is the peak of the process over what it had with everything imported;
`own` leaves out mapped files, which the system takes back when it needs to.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from loading import rss_mb
from synthetic import tables

from unicorn_hf.builders.package import PackageJob, Part
from unicorn_hf.core.recipe import Packaging
from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.representations.transfers.mean_shift import MeanShift
from unicorn_hf.representations.vectors import KIND, write_vectors
from unicorn_hf.runtime.files import read_table, write_table
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.work import Work

MEAN = "mean.npy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(WAYS[arguments.way](arguments.folder, arguments.dim)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.rows, arguments.dim)
        runs = [{way: run(way, Path(folder), arguments.dim) for way in WAYS} for _ in range(arguments.times)]
    show(runs, arguments.rows)


def make(folder: Path, num_rows: int, dim: int) -> None:
    """A build's shards: captions, and unit vectors about a mean that is not zero."""
    total = np.zeros(dim)
    for number, table in enumerate(tables(num_rows, dim)):
        columns = {
            "digest": np.arange(table.num_rows),
            "source": np.repeat("made up", table.num_rows),
        } | {name: table.column(name) for name in ("id", "caption", "seed", "domain")}
        write_table(folder / f"{number:05d}.captions.parquet", pa.table(columns), CAPTIONS)
        vectors = table.column("image_embedding").combine_chunks().flatten().to_numpy().reshape(-1, dim)
        text = vectors.astype(np.float32) + np.float32(dim**-0.5)
        text /= np.linalg.norm(text, axis=1, keepdims=True)
        total += text.sum(axis=0, dtype=np.float64)
        write_vectors(folder / f"{number:05d}.{KIND}", table.column("id"), text)
    np.save(folder / MEAN, total / num_rows)


def job(folder: Path, dim: int) -> PackageJob:
    parts = []
    for path in sorted(folder.glob("*.captions.parquet")):
        name = path.name.partition(".")[0]
        rows = tuple(range(read_table(path, CAPTIONS, ["id"]).num_rows))
        parts.append(Part(Picked(name, path, name, rows), folder / f"{name}.{KIND}"))
    return PackageJob(
        step=Step(folder / "packaging"),
        partition="pretrain-00000",
        inputs="",
        label="packaging",
        config="pretrain",
        parts=tuple(parts),
        dim=dim,
        dtype="float16",
        transfer=MeanShift(np.load(folder / MEAN)),
        packaging=Packaging(),
        languages=("en",),
    )


def ours(folder: Path, dim: int) -> dict[str, float]:
    planned = job(folder, dim)
    import_streams()
    with Peak() as peak:
        started = time.perf_counter()
        record = planned.run(Work())
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "MB": record.num_arrow_bytes / 1e6, "file MB": planned.path.stat().st_size / 1e6} | (
        peak.figures
    )


def from_list(folder: Path, dim: int) -> dict[str, float]:
    from datasets import Dataset, Features, disable_progress_bars

    disable_progress_bars()
    import_streams()
    planned = job(folder, dim)
    features = Features.from_arrow_schema(planned.schema)
    path = folder / "from_list.parquet"
    with Peak() as peak:
        rows: list[dict[str, Any]] = []
        for table in planned.tables():
            embedded = table.column("image_embedding").combine_chunks().flatten().to_numpy().reshape(-1, dim)
            pairs = zip(table.drop_columns("image_embedding").to_pylist(), embedded, strict=True)
            rows += [row | {"image_embedding": vector} for row, vector in pairs]
        started = time.perf_counter()
        data = Dataset.from_list(rows, features=features)
        data.to_parquet(path)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "MB": data.data.nbytes / 1e6, "file MB": path.stat().st_size / 1e6} | peak.figures


WAYS = {"ours": ours, "from_list": from_list}


def import_streams() -> None:
    """What `datasets` imports at its first stream is no part of what is measured."""
    from datasets import IterableDataset

    list(IterableDataset.from_generator(lambda: iter([{"x": 1}])))


class Peak:
    """The most memory that the process has in a block, over what it had before, in MB."""

    def __enter__(self) -> "Peak":
        self._before = {field: rss_mb(field) for field in ("VmRSS", "RssAnon")}
        self._most = dict(self._before)
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self._most = {field: max(most, rss_mb(field)) for field, most in self._most.items()}

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    @property
    def figures(self) -> dict[str, float]:
        grown = {field: self._most[field] - before for field, before in self._before.items()}
        return {"memory MB": grown["VmRSS"], "own memory MB": grown["RssAnon"]}


def run(way: str, folder: Path, dim: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--dim", str(dim)]
    figures: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
    )
    return figures


def show(runs: list[dict[str, dict[str, float]]], num_rows: int) -> None:
    found = {way: {name: statistics.median(run[way][name] for run in runs) for name in runs[0][way]} for way in runs[0]}
    for figures in found.values():
        figures["rows/s"] = num_rows / figures["seconds"]
        figures["MB/s"] = figures["MB"] / figures["seconds"]
    print(
        f"{num_rows:,} rows, medians of {len(runs)}\n\n| | ours | from_list | ours / from_list |\n|---|---:|---:|---:|"
    )
    for name in ("seconds", "rows/s", "MB/s", "file MB", "memory MB", "own memory MB"):
        first, second = found["ours"][name], found["from_list"][name]
        print(f"| {name} | {first:,.1f} | {second:,.1f} | {first / second:.2f} |")


if __name__ == "__main__":
    main()
