"""What a partition costs beside its own work: Dask, and our own scheduling, in milliseconds.

    python benchmarks/overhead.py [--partitions 400] [--rows 16] [--repeats 5] [--workers 1 2]

Three figures, each the median of the repeats, with one worker and with two:

- pool: jobs that do nothing, from the submission of the first to the last record, divided by their number;
- Stage 1: caption jobs of few rows, with an engine that answers at once, through the pool; less the very same jobs
  run by a bare loop in one process of the same machine, which has as much to compute and to write;
- found: the same jobs when all of them are done, as when a build goes on.

Of Stage 1 it is a worker's time, `seconds * workers / partitions`: what one that never waited would not have spent.
Workers, scheduler and client share the machine's cores. Beside each is what all their processes spent of the processor
for it, which other things that the machine does change less. The bare job's time is told too, with how much of it is
waiting for the disk (fsync). The bound is 10 ms.

All of it is measured on two clusters whose rounds alternate: one as builds start it, with TLS, and one without. TLS may
cost 1 ms a partition.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from distributed import Security

from unicorn_hf.captions.step import CaptionJob, CaptionStage
from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.launch import Place
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.steps import Record
from unicorn_hf.runtime.work import Work
from unicorn_hf.seeds.step import prepare_seeds

BOUND_MS = 10.0
TLS_BOUND_MS = 1.0


class AnswersAtOnce:
    """A generator whose answers are all the same."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        answer = Answer(
            "A red jar stands on a shelf of dark wood, and a window lights it from the left.", "stop", 90, 20
        )
        yield from ((position, answer) for position in range(len(requests)))

    def close(self) -> None: ...


@dataclass(frozen=True)
class Nothing:
    """A job that does nothing."""

    name: int

    label = "nothing"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        return Record(inputs=str(self.name), num_bytes={})


@dataclass(frozen=True)
class Meet:
    """A job that gives its worker the generator that answers at once, under another's name; ends when all have it."""

    key: str
    folder: Path
    workers: int

    label = "a meeting"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        with work.engine(self.key, AnswersAtOnce):
            (self.folder / str(os.getpid())).touch()
            while len(list(self.folder.iterdir())) < self.workers:
                time.sleep(0.01)
        return Record(inputs="", num_bytes={})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=400)
    parser.add_argument("--rows", type=int, default=16, help="rows of a partition")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = recipe_of(folder, options.partitions, options.rows)
        generator = resolve_generator(recipe.engine)
        jobs = jobs_of(recipe, generator, folder)
        bare, synced = bare_ms(jobs, folder, options.repeats)
        print(f"{len(jobs)} partitions of {options.rows} rows; the bare job takes {bare.ms:.1f} ms", end="")
        print(f" ({bare.cpu_ms:.1f} ms of the processor), {synced / bare.ms:.0%} of it fsync\n")
        print("| workers | TLS | pool ms | CPU ms | Stage 1 ms | CPU ms | found ms |")
        print("|--:|:--|--:|--:|--:|--:|--:|", flush=True)
        worst = worst_tls = 0.0
        for workers in options.workers:
            with ExitStack() as opened:
                pools = [opened.enter_context(pool_of(workers, generator, folder, tls)) for tls in (True, False)]
                idles = timed([[Nothing(at) for at in range(len(jobs))]] * options.repeats, pools)
                copies = [[elsewhere(jobs, folder) for _ in range(options.repeats)] for _ in pools]
                wholes, founds = timed_each(copies, pools), timed_each(copies, pools)
            stages = [Taken(whole.ms * workers - bare.ms, whole.cpu_ms - bare.cpu_ms) for whole in wholes]
            for tls, idle, stage, found in zip(("yes", "no"), idles, stages, founds, strict=True):
                print(f"| {workers} | {tls} | {idle} | {stage} | {found.ms:.2f} |", flush=True)
            more = [with_tls - without for with_tls, without in (idles, stages)]
            print(f"| {workers} | more | {more[0]} | {more[1]} | |", flush=True)
            worst = max(worst, idles[0].ms, stages[0].ms)
            worst_tls = max(worst_tls, *(one.ms for one in more))
    print(f"\nworst {worst:.1f} ms, bound {BOUND_MS:.0f} ms: {worst / BOUND_MS:.2f} of it")
    print(f"TLS: at most {worst_tls:.2f} ms more, bound {TLS_BOUND_MS:.0f} ms")
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}, {cpu_count()} cores")


def recipe_of(folder: Path, partitions: int, rows: int) -> Recipe:
    seeds = folder / "seeds.txt"
    seeds.write_text("".join(f"a red jar number {number} on a shelf\n" for number in range(partitions * rows)))
    return Recipe.model_validate(
        {
            "seeds": {"sources": [{"kind": "file", "path": str(seeds)}]},
            "engine": {"kind": "echo"},
            "partition_rows": rows,
            "captions": {"num": partitions * rows, "captions_per_seed": 1, "max_rejected": 1.0},
            "instructions": {"num": 1},
            "representations": {"encoder": "hashing:8"},
        }
    )


class Recorder:
    """A pool that keeps the jobs it is given, and does none."""

    def __init__(self) -> None:
        self.jobs: list[CaptionJob] = []

    def run(self, jobs: Sequence[Any], on_record: Callable[[Any], None], **how: bool) -> list[Any]:
        self.jobs += jobs
        raise RunError("recorded")


def jobs_of(recipe: Recipe, generator: GeneratorSpec, folder: Path) -> list[CaptionJob]:
    """Those of Stage 1."""
    seeds, _ = prepare_seeds(recipe, folder)
    recorder = Recorder()
    try:
        CaptionStage(recipe, seeds, generator, folder, folder / "answers").run(recorder, Progress())
    except RunError:
        return recorder.jobs
    raise AssertionError("no jobs")


def elsewhere(jobs: Sequence[CaptionJob], folder: Path) -> list[CaptionJob]:
    """The same jobs in a new folder."""
    place = Path(tempfile.mkdtemp(dir=folder))
    return [replace(job, step=replace(job.step, folder=place / "captions"), answers=place / "answers") for job in jobs]


@contextmanager
def pool_of(workers: int, generator: GeneratorSpec, folder: Path, tls: bool) -> Iterator[WorkerPool]:
    """Workers that have started, each with the generator that answers at once."""
    met = Path(tempfile.mkdtemp(dir=folder))
    # What has no certificates talks in clear text.
    certificates = nullcontext() if tls else mock.patch("distributed.Security.temporary", Security)
    with open_pool(Place(workers), generator.environment, lambda event: None) as pool:
        with certificates:
            pool.run([Meet(generator.identity, met, workers)] * workers, lambda record: None)
        yield pool


@dataclass(frozen=True)
class Taken:
    """By a job: time, and processor time of this process and of those that it started."""

    ms: float
    cpu_ms: float

    def __sub__(self, other: "Taken") -> "Taken":
        return Taken(self.ms - other.ms, self.cpu_ms - other.cpu_ms)

    def __str__(self) -> str:
        return f"{self.ms:.2f} | {self.cpu_ms:.2f}"


def timed(rounds: Sequence[Sequence[Any]], pools: Sequence[WorkerPool]) -> list[Taken]:
    """The medians of the same rounds, on each pool."""
    return timed_each([rounds] * len(pools), pools)


def timed_each(rounds: Sequence[Sequence[Sequence[Any]]], pools: Sequence[WorkerPool]) -> list[Taken]:
    """The medians of each pool's own rounds. The pools take turns, so that what else the machine does meets all."""
    turns = [
        [taken(jobs, lambda jobs, pool=pool: pool.run(jobs, lambda record: None)) for jobs, pool in turn]
        for turn in (zip(jobs, pools, strict=True) for jobs in zip(*rounds, strict=True))
    ]
    return [median(of_pool) for of_pool in zip(*turns, strict=True)]


def taken(jobs: Sequence[Any], run: Callable[[Sequence[Any]], Any]) -> Taken:
    started, cpu_before = time.perf_counter(), cpu_s()
    run(jobs)
    seconds, cpu = time.perf_counter() - started, cpu_s() - cpu_before
    return Taken(seconds * 1000 / len(jobs), cpu * 1000 / len(jobs))


def median(rounds: Sequence[Taken]) -> Taken:
    return Taken(statistics.median(one.ms for one in rounds), statistics.median(one.cpu_ms for one in rounds))


def cpu_s() -> float:
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def bare_ms(jobs: Sequence[CaptionJob], folder: Path, repeats: int) -> tuple[Taken, float]:
    """A plain loop in this process, and the milliseconds of a job in which it waits for the disk: medians."""
    fsync, waited, work = os.fsync, [0.0] * repeats, Work()
    with work.engine(jobs[0].generator.identity, AnswersAtOnce):
        pass  # The jobs find it.

    def loop(at: int) -> Taken:
        def sync(file: int) -> None:
            began = time.perf_counter()
            fsync(file)
            waited[at] += (time.perf_counter() - began) * 1000 / len(jobs)

        with mock.patch("os.fsync", sync):
            return taken(elsewhere(jobs, folder), lambda jobs: [job.run(work) for job in jobs])

    return median([loop(at) for at in range(repeats)]), statistics.median(waited)


if __name__ == "__main__":
    main()
