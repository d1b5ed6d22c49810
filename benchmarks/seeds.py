"""Seeds from a file of many lines: what a build does with them before it asks anything, in time and peak memory.

    python benchmarks/seeds.py --lines 10000000

The file is made up first: lines of 10 words, one in ten of them a line that came before. The reference is `sort -u` of
the same file, with 512 MB for its buffer: it drops what comes again too, but shuffles, normalises and counts nothing.
"""

import argparse
import os
import random
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.seeds.step import prepare_seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "seeds.txt"
        write_lines(path, arguments.lines)
        print(f"{arguments.lines:,} lines, {path.stat().st_size / 1e6:,.0f} MB")
        command = ["sort", "-u", "-S", "512M", "-o", "/dev/null", str(path)]
        subprocess.run(command, check=True, env={**os.environ, "LC_ALL": "C", "TMPDIR": name})
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        reference = children.ru_utime + children.ru_stime
        changes = {"seeds": {"sources": [{"kind": "file", "path": str(path)}]}, "partition_rows": 512}
        recipe = load_recipe("demo", changes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, started_cpu = time.perf_counter(), time.process_time()
        _, record = prepare_seeds(recipe, Path(name) / "work")
        seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"seeds: {record.num_seeds:,} in {len(record.partitions):,} shards; skipped: {record.skipped}")
        print(f"{seconds:.1f} s; {cpu:.1f} CPU s, {cpu / reference:.1f} times those of `sort -u` ({reference:.1f})")
        print(f"peak memory {peak / 1024:,.0f} MB, {(peak - before) / 1024:,.0f} MB over the process before")


def write_lines(path: Path, number: int) -> None:
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(20_000)]
    with path.open("w") as file:
        last = ""
        for at in range(number):
            if at % 10 != 9:
                last = " ".join(rng.choices(words, k=10))
            file.write(f"{last}\n")


if __name__ == "__main__":
    main()
