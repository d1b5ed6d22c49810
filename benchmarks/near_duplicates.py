"""Near-duplicate removal over 149,700 machine-written descriptions, against datasketch at the same threshold.

    pip download --no-deps clip-benchmark && pip install datasketch psutil
    python benchmarks/near_duplicates.py --wheel clip_benchmark-*.whl

The texts are CuPL's descriptions of ImageNet classes, in the order of a hash, as a build has them. `ours` is what the
captions step does with them, shards on disk and worker processes included; `datasketch` the loop that its documentation
shows, in one process: MinHash of as many hashes, MinHashLSH, each text kept if the index has nothing like it. Memory is
the peak of the process with its children over what they had at the start; CPU seconds are theirs too, all in all.

How good both are is seen on all texts of some classes: the pairs whose runs of words are alike by exact Jaccard.
`still there`: of these pairs, those of which both texts were kept. `wrongly out`: texts left out that no kept text of
any class is as alike to as the threshold says (looked for exactly, among texts that share a run).
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from unicorn_hf.captions.minhash import jaccard, shingles
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe import NearDuplicates

MEMBER = "clip_benchmark/datasets/cupl_prompts.json"
ROWS_PER_SHARD = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="clip-benchmark's wheel; downloaded with pip unless given")
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--shingle-words", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, help="take the first so many texts only")
    parser.add_argument("--sample-classes", type=int, default=100)
    parser.add_argument("--only", choices=RUNS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measured(arguments)))
        return
    texts = descriptions(arguments.wheel)[: arguments.rows]
    print(f"{len(texts):,} texts of {np.mean([len(text.split()) for text in texts]):.1f} words on average, ", end="")
    print(f"threshold {arguments.threshold}, runs of {arguments.shingle_words} words")
    print("| | s | of it hashing | CPU s | peak MB | kept | pairs alike | still there % | left out | wrongly out % |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name in RUNS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        quality = judged(texts, set(found["kept"]), arguments)
        figures = [name, *(f"{found[key]:.1f}" for key in ("seconds", "hashing", "cpu")), f"{found['peak_mb']:.0f}"]
        figures += [f"{len(found['kept']):,}", f"{quality['pairs']:,}", f"{quality['still_there']:.2f}"]
        figures += [f"{quality['left_out']:,}", f"{quality['wrongly_out']:.2f}"]
        print(f"| {' | '.join(figures)} |", flush=True)


def descriptions(wheel: Path | None) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "clip-benchmark"]
            subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
            (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            classes: dict[str, list[str]] = json.loads(archive.read(MEMBER))["imagenet1k"]
    texts = [text for name in classes for text in classes[name]]
    CLASS_OF.update({text: name for name in classes for text in classes[name]})
    return sorted(texts, key=lambda text: (stable_int("0", "order", text), text))


CLASS_OF: dict[str, str] = {}


def ours(texts: list[str], config: NearDuplicates, num_workers: int) -> tuple[list[int], float]:
    from unicorn_hf.captions.candidates import Candidates, CaptionShard, KeyJob
    from unicorn_hf.captions.step import digest_of
    from unicorn_hf.core.schemas import CAPTIONS
    from unicorn_hf.runtime.cluster import open_pool
    from unicorn_hf.runtime.files import rows_table, write_table
    from unicorn_hf.runtime.launch import Place
    from unicorn_hf.runtime.steps import Step

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for begin in range(0, len(texts), ROWS_PER_SHARD):
            rows = [
                {"id": text, "caption": text, "digest": digest_of(text), "seed": "", "source": "", "domain": ""}
                for text in texts[begin : begin + ROWS_PER_SHARD]
            ]
            paths.append(Path(folder) / f"{begin}.parquet")
            write_table(paths[-1], rows_table(rows, CAPTIONS), CAPTIONS)
        del rows
        variables = {"OMP_NUM_THREADS": "1"}
        with open_pool(Place(num_workers), lambda num_threads: variables, lambda event: None) as pool:
            pool.run(
                [KeyJob.of(Step(Path(folder) / "warm"), CaptionShard(paths[0], "warm", 0), config=config)],
                lambda record: None,
            )
            START.append(time.perf_counter())
            candidates = Candidates(config, Path(folder) / "work")
            candidates.add(paths, HashingTimer(pool))
            kept = np.flatnonzero(candidates.select(len(texts))[0].kept).tolist()
            return kept, HASHING[0]


HASHING: list[float] = []
START: list[float] = []


class HashingTimer:
    """A pool that notes how long its first run takes: that of the keys."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def run(self, jobs: Any, on_record: Any, **how: bool) -> Any:
        started = time.perf_counter()
        records = self._pool.run(jobs, on_record, **how)
        HASHING.append(time.perf_counter() - started)
        return records


def datasketch(texts: list[str], config: NearDuplicates, num_workers: int) -> tuple[list[int], float]:
    from datasketch import MinHash, MinHashLSH

    assert config.threshold
    START.append(time.perf_counter())
    index = MinHashLSH(threshold=config.threshold, num_perm=config.num_hashes)
    kept, hashing = [], 0.0
    for at, text in enumerate(texts):
        started = time.perf_counter()
        sketch = MinHash(num_perm=config.num_hashes)
        sketch.update_batch([run.encode() for run in shingles(text, config.shingle_words)])
        hashing += time.perf_counter() - started
        if not index.query(sketch):
            index.insert(str(at), sketch)
            kept.append(at)
    return kept, hashing


RUNS = {"ours": ours, "datasketch": datasketch}


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    texts = descriptions(arguments.wheel)[: arguments.rows]
    config = NearDuplicates(threshold=arguments.threshold, shingle_words=arguments.shingle_words)
    with Memory() as memory:
        kept, hashing = RUNS[arguments.only](texts, config, arguments.workers)
        seconds = time.perf_counter() - START[-1]
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(who.ru_utime + who.ru_stime for who in usage)
    return {"kept": kept, "seconds": seconds, "hashing": hashing, "cpu": cpu, "peak_mb": memory.peak_mb}


class Memory:
    """The peak of this process and its children, unshared pages, over what they had at the start."""

    def __enter__(self) -> "Memory":
        self._done = threading.Event()
        self._before = self._now()
        self._most = self._before
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak_mb = (self._most - self._before) / 1e6

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self._most = max(self._most, self._now())

    def _now(self) -> int:
        total = 0
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                total += process.memory_info().rss - process.memory_info().shared
            except psutil.NoSuchProcess:
                continue
        return total


def judged(texts: list[str], kept: set[int], arguments: argparse.Namespace) -> dict[str, float]:
    runs = [shingles(text, arguments.shingle_words) for text in texts]
    names = sorted(set(CLASS_OF.values()))
    chosen = set(random.Random(0).sample(names, min(arguments.sample_classes, len(names))))
    by_class: dict[str, list[int]] = defaultdict(list)
    for at, text in enumerate(texts):
        if CLASS_OF[text] in chosen:
            by_class[CLASS_OF[text]].append(at)
    alike = still = 0
    for rows in by_class.values():
        for one, other in combinations(rows, 2):
            if jaccard(runs[one], runs[other]) >= arguments.threshold:
                alike += 1
                still += one in kept and other in kept
    having: dict[str, list[int]] = defaultdict(list)
    for at in kept:
        for run in runs[at]:
            having[run].append(at)
    out = [at for rows in by_class.values() for at in rows if at not in kept]
    wrongly = sum(
        all(
            jaccard(runs[at], runs[other]) < arguments.threshold
            for other in {other for run in runs[at] for other in having[run]}
        )
        for at in out
    )
    return {
        "pairs": alike,
        "still_there": 100 * still / max(alike, 1),
        "left_out": len(out),
        "wrongly_out": 100 * wrongly / max(len(out), 1),
    }


if __name__ == "__main__":
    main()
