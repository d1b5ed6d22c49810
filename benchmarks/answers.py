"""The store of answers: how long it takes to look up all of millions of answers, and how much memory.

    python benchmarks/answers.py [--num 2500000] [--workers 8] [--folder DIR]

A store is filled as so many workers fill it, each with partitions of its own, some of them in flight at once. Then a
new process looks up every answer, partition by partition, in their order, as a build does that derives all its rows
again. Printed are the time and the peak memory, beside what is wanted, and the time over that of another process that
reads the same segments with pyarrow and makes lists of their columns.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random

import pyarrow.parquet as pq

from unicorn_hf.core.generation import Answer
from unicorn_hf.runtime.answers import AnswerStore

WANTED_S, WANTED_MB = 30, 300
PARTITION, IN_FLIGHT = 512, 4
WORDS = "a red wooden boat lies beside the small quiet harbour under grey clouds while two gulls watch".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=2_500_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--role", choices=("plain", "look-up"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        (plain(options.folder) if options.role == "plain" else look_up(options.folder, options.num))
        return
    folder = Path(tempfile.mkdtemp(prefix="unicorn-hf-answers-", dir=options.folder))
    try:
        began = time.monotonic()
        for worker in range(options.workers):
            AnswerStore(folder).add_all(answered_by(worker, options.workers, options.num), f"worker-{worker}")
        num_bytes = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        print(f"{options.num:,} answers in {num_bytes / 2**20:,.0f} MiB, written in {time.monotonic() - began:,.0f} s")
        command = [sys.executable, __file__, "--folder", str(folder), "--num", str(options.num), "--role"]
        plain_s, plain_mb = measured([*command, "plain"])
        seconds, peak_mb = measured([*command, "look-up"])
        print(f"looked up in {seconds:,.1f} s (wanted: {WANTED_S}): {seconds / plain_s:,.2f} of plain reading")
        print(f"peak memory {peak_mb:,.0f} MB (wanted: {WANTED_MB}), of plain reading {plain_mb:,.0f} MB")
    finally:
        shutil.rmtree(folder)


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak of memory."""
    seconds, megabytes = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(seconds), float(megabytes)


def plain(folder: Path) -> None:
    began = time.monotonic()
    for path in folder.rglob("*.parquet"):
        for column in pq.read_table(path, use_threads=False).columns:
            column.to_pylist()
    tell(began)


def look_up(folder: Path, num: int) -> None:
    began, store, num_found = time.monotonic(), AnswerStore(folder), 0
    for start in range(0, num, PARTITION):
        num_found += len(store.find([key_of(number) for number in range(start, min(num, start + PARTITION))]))
    assert num_found == num, num_found
    tell(began)


def tell(began: float) -> None:
    print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def answered_by(worker: int, num_workers: int, num: int) -> Iterator[tuple[str, Answer]]:
    """Of every n-th partition, some at once."""
    starts = range(worker * PARTITION, num, num_workers * PARTITION)
    for first in range(0, len(starts), IN_FLIGHT):
        some = starts[first : first + IN_FLIGHT]
        for row in range(PARTITION):
            for start in some:
                if start + row < num:
                    yield key_of(start + row), answer_of(start + row)


def key_of(number: int) -> str:
    return blake2b(number.to_bytes(8), digest_size=8).hexdigest()


def answer_of(number: int) -> Answer:
    text = " ".join(Random(number).choices(WORDS, k=110))
    return Answer(text, "stop", 700, 150, seconds=0.01)


if __name__ == "__main__":
    main()
