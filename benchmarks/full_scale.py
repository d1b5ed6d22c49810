"""The whole set as a rehearsal: 1,243,195 captions and 471,000 conversations, and how time and memory grow to there.

    python benchmarks/full_scale.py [--rows 10000 100000 1243195] [--folder DIR]

For each size `unicorn-hf build unicorn-1.2m --engine echo --encoder hashing:1280` is run over as many distinct seeds,
made up here, in a folder of its own (25 GB for the largest), then once more when all is done. Printed are, against what
is wanted of the largest: wall time a stage; the most anonymous memory of any process in it, looked at four times a
second; rows, which must be exact, and their ids, which must be unique; a random row through `load_dataset`, once that
is open; the second run. The last table tells growth: time a row over the smallest size's, where 1 is linear.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CAPTIONS, INSTRUCTIONS = 1_243_195, 471_000
WANTED_MINUTES, WANTED_GB, WANTED_ROW_MS, WANTED_AGAIN_S = 15, 1, 5, 10
NUM_RANDOM = 2_000
LOOK_EVERY_S = 0.25
OUTSIDE = "between stages"

LOOKS = "red green blue old young small large quiet busy wooden stone paper glass bright dark narrow wide empty".split()
THINGS = "dog cat horse bridge river house tower market boat train child farmer painter garden forest lamp table kite bird sheep teacher violin clock candle basket bakery harbour lighthouse meadow orchard".split()  # noqa: E501
PLACES = "beside under above near behind facing following watching carrying leading crossing leaving entering".split()
TIMES = "at dawn|at noon|at dusk|at night|in spring|in summer|in autumn|in winter|after rain|before a storm".split("|")


@dataclass
class Memory:
    """The most anonymous memory of any one process of a command, as time goes by."""

    looks: list[tuple[datetime, int]] = field(default_factory=list)

    @contextmanager
    def watched(self, command: psutil.Process) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK_EVERY_S):
                self.looks.append((datetime.now(UTC), most_anonymous(command)))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def most(self, start: datetime | None = None, end: datetime | None = None) -> float:
        """In GB, between two times."""
        seen = [size for at, size in self.looks if (not start or at >= start) and (not end or at <= end)]
        return max(seen, default=0) / 1e9


@dataclass
class Measured:
    """One size."""

    num_captions: int
    seconds: float
    memory: Memory
    stages: dict[str, tuple[float, float]]
    """Seconds, and GB of the largest process."""
    again_s: float
    facts: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, CAPTIONS])
    parser.add_argument("--folder", type=Path, help="where the sets are made, and left; else a temporary one")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(reading(arguments.read)))
        return
    folder = arguments.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        measured = [measure(folder, rows) for rows in sorted(arguments.rows)]
    finally:
        if not arguments.folder:
            shutil.rmtree(folder)
    show_growth(measured)
    sys.exit(0 if all(holds(size) for size in measured) else 1)


def measure(folder: Path, num_captions: int) -> Measured:
    num_instructions = round(num_captions * INSTRUCTIONS / CAPTIONS)
    seeds = folder / f"seeds-{num_captions}.txt"
    with seeds.open("w") as file:
        file.writelines(f"{seed}\n" for seed in islice(distinct_seeds(), num_captions))
    out = folder / f"unicorn-{num_captions}"
    command = [sys.executable, "-m", "unicorn_hf", "build", "unicorn-1.2m", "--seeds", seeds, "--out", out]
    command += ["--captions", num_captions, "--instructions", num_instructions]
    command += ["--engine", "echo", "--encoder", "hashing:1280"]
    memory = Memory()
    seconds = timed(command, memory)
    again_s = timed(command, Memory())
    reads = subprocess.run(
        [sys.executable, __file__, "--read", str(out)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    facts = json.loads(reads.splitlines()[-1])
    facts["exact"] = facts["rows"] == [num_captions, num_instructions]
    size = Measured(num_captions, seconds, memory, stages(out, memory, seconds), again_s, facts)
    show(size)
    return size


def distinct_seeds() -> Iterator[str]:
    rng = random.Random(1)
    seen: set[str] = set()
    while True:
        pick = [rng.choice(words) for words in (LOOKS, LOOKS, THINGS, PLACES, LOOKS, THINGS, TIMES)]
        seed = "A {} {} {} {} a {} {} {}".format(*pick)
        if seed not in seen:
            seen.add(seed)
            yield seed


def timed(command: list[object], memory: Memory) -> float:
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with memory.watched(psutil.Process(process.pid)):
        said = process.communicate()[0]
    if process.returncode:
        sys.exit(said.decode())
    return time.monotonic() - started


def most_anonymous(command: psutil.Process) -> int:
    sizes = [0]
    with suppress(psutil.Error):
        for process in [command, *command.children(recursive=True)]:
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                sizes.append(1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1]))
    return max(sizes)


def stages(out: Path, memory: Memory, seconds: float) -> dict[str, tuple[float, float]]:
    """Of the first run, by the build's own log; the last is what lies between stages."""
    began: dict[str, datetime] = {}
    found: dict[str, tuple[float, float]] = {}
    for line in (out.parent / f"{out.name}.work" / "log.jsonl").read_text().splitlines():
        event = json.loads(line)
        at = datetime.fromisoformat(event["time"])
        match event["event"]:
            case "stage_started":
                began[event["stage"]] = at
            case "stage_finished":
                found[event["name"]] = (event["seconds"], memory.most(began[event["name"]], at))
            case "done":
                break
    return found | {OUTSIDE: (seconds - sum(taken for taken, _ in found.values()), 0.0)}


def reading(out: Path) -> dict[str, Any]:
    """What the set holds, and what reading it costs, in a process of its own."""
    import datasets

    datasets.disable_progress_bars()
    unique = True
    rows = []
    for config in ("pretrain", "instruction"):
        ids = pa.chunked_array(
            [
                chunk
                for path in sorted((out / config).glob("*.parquet"))
                for chunk in pq.read_table(path, columns=["id"])["id"].chunks
            ]
        )
        rows.append(len(ids))
        unique = unique and pc.count_distinct(ids).as_py() == len(ids)
    with tempfile.TemporaryDirectory(dir=out.parent) as cache:
        started = time.monotonic()
        table = datasets.load_dataset(str(out), "pretrain", split="train", cache_dir=cache)
        opened_s = time.monotonic() - started
        rng = random.Random(2)
        taken = []
        for _ in range(NUM_RANDOM):
            place = rng.randrange(len(table))
            started = time.perf_counter()
            row = table[place]
            taken.append(1000 * (time.perf_counter() - started))
            assert len(row["image_embedding"]) == 1280
    taken.sort()
    return {
        "rows": rows,
        "unique": unique,
        "opened_s": opened_s,
        "row_ms": taken[len(taken) // 2],
        "row_ms_99": taken[len(taken) * 99 // 100],
    }


def holds(size: Measured) -> bool:
    return bool(
        size.seconds <= 60 * WANTED_MINUTES
        and size.memory.most() < WANTED_GB
        and size.facts["exact"]
        and size.facts["unique"]
        and size.facts["row_ms"] < WANTED_ROW_MS
        and size.again_s <= WANTED_AGAIN_S
    )


def show(size: Measured) -> None:
    facts = size.facts
    print(f"\n{size.num_captions:,} captions\n\n| stage | seconds | GB in the largest process |\n|---|---:|---:|")
    for name, (seconds, most) in size.stages.items():
        print(f"| {name} | {seconds:,.1f} | {f'{most:.2f}' if most else ''} |")
    print(f"| all | {size.seconds:,.1f} | {size.memory.most():.2f} |\n")
    print(against("wall time, minutes", size.seconds / 60, WANTED_MINUTES))
    print(against("GB of anonymous memory in any process", size.memory.most(), WANTED_GB))
    print(f"rows {facts['rows']}, exact: {facts['exact']}; ids unique: {facts['unique']}")
    print(against("milliseconds for a random row of load_dataset, the median", facts["row_ms"], WANTED_ROW_MS))
    print(f"  99 in 100 take at most {facts['row_ms_99']:.2f}; opening took {facts['opened_s']:.1f} s")
    print(against("seconds to run it again when done", size.again_s, WANTED_AGAIN_S), flush=True)


def against(what: str, found: float, wanted: float) -> str:
    return f"{what}: {found:.2f} of {wanted} wanted, ratio {found / wanted:.2f}"


def show_growth(measured: list[Measured]) -> None:
    first = measured[0]
    print("\nSeconds a row over the smallest size's, and GB in the largest process\n")
    print("| | " + " | ".join(f"{size.num_captions:,}" for size in measured) + " |\n|---|" + "---:|" * len(measured))
    for name in first.stages:
        cells = [f"{each(size, name) / each(first, name):.2f}" for size in measured]
        print(f"| {name} | {' | '.join(cells)} |")
    whole = [f"{size.seconds / size.num_captions / (first.seconds / first.num_captions):.2f}" for size in measured]
    print(f"| all | {' | '.join(whole)} |")
    print(f"| GB | {' | '.join(f'{size.memory.most():.2f}' for size in measured)} |")


def each(size: Measured, stage: str) -> float:
    return size.stages[stage][0] / size.num_captions


if __name__ == "__main__":
    main()
