"""What a second worker gains on two cores, against what a second process of the same work gains by itself.

    python benchmarks/two_workers.py [--partitions 48] [--rows 512] [--repeats 5]

The work is Stage 1's with the echo engine: the same caption jobs each time, in new folders. Compared in each repeat,
one after another:

- bare: the jobs in a loop in one single-threaded process, then half of them in each of two such processes at once;
- ours: a pool with one worker, then with two, beside which the client and the scheduler have their process too.

Processes and workers have started, and done a job, before their time is taken. Each side's gain is its time with one
divided by its time with two; told is the median of `gain ours / gain bare`, which is to be 0.9 at least, and how long
ours took against bare. It means something only while the machine does nothing else.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from overhead import elsewhere, jobs_of, recipe_of

from unicorn_hf.captions.step import CaptionJob
from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.runtime.cluster import open_pool
from unicorn_hf.runtime.launch import Place
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.work import Work

WANTED = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=48)
    parser.add_argument("--rows", type=int, default=512, help="rows of a partition")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    # Read when a process starts; each is to use one core.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = recipe_of(folder, options.partitions, options.rows)
        generator = resolve_generator(recipe.engine)
        jobs = jobs_of(recipe, generator, folder)
        print(f"{len(jobs)} partitions of {options.rows} rows, {cpu_count()} cores\n")
        print("| repeat | bare 1 s | bare 2 s | gain | ours 1 s | ours 2 s | gain | gain ours / bare |")
        print("|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
        ratios, slower = [], []
        for repeat in range(options.repeats):
            bare = [bare_s(elsewhere(jobs, folder), number) for number in (1, 2)]
            ours = [ours_s(elsewhere(jobs, folder), generator, number) for number in (1, 2)]
            gains = bare[0] / bare[1], ours[0] / ours[1]
            ratios.append(gains[1] / gains[0])
            slower.append([mine / reference for mine, reference in zip(ours, bare, strict=True)])
            figures = [*bare, gains[0], *ours, gains[1], ratios[-1]]
            print(f"| {repeat + 1} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |", flush=True)
    print(f"\nmedian gain ours / bare {statistics.median(ratios):.3f}, wanted {WANTED}")
    one, two = (statistics.median(pair[at] for pair in slower) for at in (0, 1))
    print(f"median time ours / bare: {one:.3f} with one, {two:.3f} with two")
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}")


def bare_s(jobs: Sequence[CaptionJob], number: int) -> float:
    """Seconds of so many processes, each with its share of the jobs."""
    warm, work = jobs[:number], jobs[number:]
    with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as processes:
        both(processes, [warm[at::number] for at in range(number)])
        return timed(lambda: both(processes, [work[at::number] for at in range(number)]))


def both(processes: ProcessPoolExecutor, shares: Sequence[Sequence[CaptionJob]]) -> None:
    for done in [processes.submit(run_all, share) for share in shares]:
        done.result()


def run_all(jobs: Sequence[CaptionJob]) -> None:
    work = Work()
    for job in jobs:
        job.run(work)


def ours_s(jobs: Sequence[CaptionJob], generator: GeneratorSpec, number: int) -> float:
    """Seconds of a pool with so many workers."""
    with open_pool(Place(number), generator.environment, lambda event: None) as pool:
        pool.run(jobs[:number], lambda record: None)
        return timed(lambda: pool.run(jobs[number:], lambda record: None))


def timed(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
