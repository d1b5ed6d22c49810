"""Kills random processes of a build, again and again, and compares what it ends with to an undisturbed one.

    python benchmarks/chaos.py [--rows 20000] [--workers 4] [--kills 25] [--every 2] [--seed 0]

A rehearsal (echo engine, hashing encoder) is built twice with the same recipe: once undisturbed, once while one of its
processes, drawn at random, is killed with SIGKILL every few seconds: a worker, a nanny, or the command itself, in which
the scheduler lives. Where it was the command, it is started again, as a user would. If the build ends before there were
as many kills as asked for, it is built again from the start in another folder, and all of them are compared.

Printed are the kills by what was hit, how much longer it took, and whether each row of both configs is the same. The
exit code is 1 if one is not, or if the build gave up: no partition is to blame for what is killed at random.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

CONFIGS = ("pretrain", "instruction")
DIM = 64
_SHOWN_CHARACTERS = 2000


@dataclass
class Chaos:
    """The recipe's builds in a folder."""

    folder: Path
    rng: random.Random
    every_s: float
    hits: Counter[str] = field(default_factory=Counter)
    """Kills, by what was hit."""
    given_up: list[str] = field(default_factory=list)
    """What the build said when it gave up."""

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "unicorn_hf", "build", str(self.folder / "recipe.yaml"), "--out", name]
        # A session of its own: what is left of it when the command is killed can be found.
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)

    def undisturbed(self) -> float:
        started = time.monotonic()
        if self.start("undisturbed").wait():
            sys.exit((self.folder / "undisturbed.log").read_text())
        return time.monotonic() - started

    def disturbed(self, name: str, kills: int) -> float:
        """Seconds from the first start to the end; kills until there were so many, then lets it end."""
        started = time.monotonic()
        process = self.start(name)
        while True:
            try:
                code = process.wait(self.rng.uniform(0.5, 1.5) * self.every_s)
            except subprocess.TimeoutExpired:
                if self.hits.total() < kills and self._kill_one(process):
                    process.wait()
                    process = self.start(name)
                continue
            if code == 0:
                return time.monotonic() - started
            self.given_up.append((self.folder / f"{name}.log").read_text().strip()[-_SHOWN_CHARACTERS:])
            process = self.start(name)

    def _kill_one(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it was the command itself."""
        command = psutil.Process(process.pid)
        victim = self.rng.choice([command, *command.children(recursive=True)])
        try:
            kind = "command" if victim == command else self._kind(victim, command)
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        self.hits[kind] += 1
        return victim == command

    @staticmethod
    def _kind(victim: psutil.Process, command: psutil.Process) -> str:
        words = " ".join(victim.cmdline())
        if "resource_tracker" in words:
            return "resource tracker"
        return "worker" if victim.parent() == command else "process of a worker"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--every", type=float, default=2.0, help="seconds from kill to kill, on average")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        chaos = Chaos(Path(name), random.Random(options.seed), options.every)
        write_recipe(chaos.folder, options.rows, options.workers)
        calm_s = chaos.undisturbed()
        built: list[float] = []
        while not built or chaos.hits.total() < options.kills:
            built.append(chaos.disturbed(f"disturbed-{len(built)}", options.kills))
        same = [equal(chaos.folder / "undisturbed", chaos.folder / f"disturbed-{at}") for at in range(len(built))]
    print(f"{options.rows:,} rows, {options.workers} workers, undisturbed {calm_s:.0f} s")
    for kind, number in chaos.hits.most_common():
        print(f"  {number:>4}  {kind}")
    print(f"  {len(chaos.given_up):>4}  times the build gave up, and was started again", *chaos.given_up, sep="\n")
    for seconds, is_same in zip(built, same, strict=True):
        print(f"disturbed {seconds:.0f} s, {seconds / calm_s:.1f} times; every row the same: {is_same}")
    sys.exit(0 if all(same) and not chaos.given_up else 1)


def write_recipe(folder: Path, rows: int, workers: int) -> None:
    (folder / "seeds.txt").write_text("".join(f"a jar number {number} on a shelf\n" for number in range(rows)))
    (folder / "recipe.yaml").write_text(
        "partition_rows: 128\nseeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        f"captions: {{num: {rows}, max_attempts_per_caption: 2}}\ninstructions: {{num: {rows * 2 // 5}}}\n"
        f"representations: {{encoder: 'hashing:{DIM}'}}\ncluster: {{workers: {workers}}}\n"
    )


def equal(one: Path, other: Path) -> bool:
    """Whether each row of both configs is the same, in the same order."""
    return all(table(one, config).equals(table(other, config)) for config in CONFIGS)


def table(folder: Path, config: str) -> pa.Table:
    return pq.read_table(folder / config)


if __name__ == "__main__":
    main()
