"""Builds whose workers and engines die or hang: which rows they end with, and what they say."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from tests.builds import rows
from tests.stages import rejections
from unicorn_hf import Recipe, build, load_recipe
from unicorn_hf.cli import main
from unicorn_hf.core.engine import AnyEngine, GeneratorSpec, resolve_generator
from unicorn_hf.core.errors import EngineDiedError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.engines.generators.echo import EchoGenerator

pytestmark = pytest.mark.slow

Fault = Literal["refuses", "kill", "stop", "hang", "die"]
TIMEOUT_S = 10.0
"""More than anything takes that a partition of eight rows does, on a machine that has other things to do."""
POISON = "a poisonous jar on a shelf"
RECIPE = {
    "engine": {"kind": "echo"},
    "captions.num": 20,
    "captions.captions_per_seed": 1,
    "instructions.num": 8,
    "representations.encoder": "hashing:16",
    "partition_rows": 8,
}


@dataclass(frozen=True, slots=True)
class FaultySpec(GeneratorSpec):
    """The rehearsal's engine with a fault."""

    fault: Fault = "refuses"
    acts: Path = field(default_factory=Path)
    """Each time that it meets the seed, a line is added to this file."""
    times: int = 1000

    def open(self) -> "Faulty":
        return Faulty(self)


class Faulty(EchoGenerator):
    """Does what its fault is when it meets the poisonous seed; to `die` it needs none."""

    def __init__(self, spec: FaultySpec) -> None:
        self._spec = spec

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        fault = self._spec.fault
        if fault == "die":
            raise EngineDiedError("it lacks 2 GiB of memory")
        for position, answer in super().generate(requests):
            if requests[position].subject != POISON or self._num_acts() >= self._spec.times:
                yield position, answer
                continue
            self._act()
            match fault:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                case "hang":
                    time.sleep(600)
            yield position, Answer("No.", "stop", 1, 1) if fault == "refuses" else answer

    def _act(self) -> None:
        with self._spec.acts.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def _num_acts(self) -> int:
        return len(self._spec.acts.read_text().splitlines()) if self._spec.acts.exists() else 0


@dataclass
class Faults:
    """Gives builds an engine with a fault."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def num_acts(self) -> int:
        return len((self.folder / "acts").read_text().splitlines())

    def install(self, fault: Fault, times: int = 1000) -> None:
        def resolve(engine: AnyEngine) -> GeneratorSpec:
            spec = resolve_generator(engine)
            return FaultySpec(
                spec.engine,
                spec.identity,
                deterministic=spec.deterministic,
                fault=fault,
                acts=self.folder / "acts",
                times=times,
            )

        self.monkeypatch.setattr("unicorn_hf.pipeline.parts.resolve_generator", resolve)

    def recipe(self, **more: object) -> Recipe:
        seeds = self.folder / "seeds.txt"
        seeds.write_text("".join(f"a jar number {number} on a shelf\n" for number in range(23)) + POISON + "\n")
        sources = [{"kind": "file", "path": str(seeds)}]
        cluster = {"kind": "local", "workers": 2, **more}
        return load_recipe("demo", {**RECIPE, "seeds.sources": sources, "cluster": cluster})


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(tmp_path, monkeypatch)


def shards(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/*.parquet"))}


def test_a_request_that_kills_its_worker_each_time_is_rejected(faults: Faults, tmp_path: Path) -> None:
    faults.install("kill")
    result = build(faults.recipe(), tmp_path / "out")
    (rejected,) = [row for row in rejections(tmp_path / "out.work") if row["subject"] == POISON]
    assert rejected["stage"] == "captions"
    assert rejected["reason"] == "fatal_request"
    assert rejected["detail"] == "sent alone 3 times: the worker died, or hung and was killed"
    # In company, and three times by itself: it is the last of its partition, and what came before it is stored.
    assert faults.num_acts == 4
    assert result.statistics.captions.rejected == {"fatal_request": 1}
    assert "| caption | fatal&#95;request | 1 |" in (tmp_path / "out" / "README.md").read_text()
    assert not list((tmp_path / "out.work").rglob("attempts/*"))
    # The same shards, to the last byte, as where the engine gives this seed a caption that is rejected.
    faults.install("refuses")
    other = build(faults.recipe(), tmp_path / "other")
    assert other.statistics.captions.rejected == {"too_short": 1}
    assert shards(tmp_path / "out") == shards(tmp_path / "other")
    # It is final: the next run asks nobody.
    faults.install("kill")
    assert build(faults.recipe(), tmp_path / "out").engines == ()
    assert rows(tmp_path / "out", "pretrain") == rows(tmp_path / "other", "pretrain")


@pytest.mark.parametrize("fault", ["hang", "stop"])
def test_a_worker_that_hangs_is_replaced(fault: Fault, faults: Faults, tmp_path: Path) -> None:
    faults.install(fault, times=1)
    result = build(faults.recipe(partition_timeout_s=TIMEOUT_S), tmp_path / "out")
    assert faults.num_acts == 1
    assert result.statistics.captions.rejected == {}
    assert any(row["seed"] == POISON for row in rows(tmp_path / "out", "pretrain"))
    events = [json.loads(line) for line in (tmp_path / "out.work" / "log.jsonl").read_text().splitlines()]
    # A process that is stopped cannot tell of it: the scheduler misses it.
    if fault == "hang":
        (bad, *_) = [event["partition"] for event in events if event["event"] == "ended_badly"]
        assert bad.startswith("captions 000-0000")
        assert bad in {event["partition"] for event in events if event["event"] == "stuck"}


def test_an_engine_that_always_dies_ends_the_build_with_advice(faults: Faults, tmp_path: Path) -> None:
    faults.install("die")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"seeds: {{sources: [{{kind: file, path: {tmp_path}/seeds.txt}}]}}\nengine: {{kind: echo}}\npartition_rows: 8\n"
        "captions: {num: 20}\ninstructions: {num: 8}\nrepresentations: {encoder: 'hashing:16'}\ncluster: {workers: 1}\n"
    )
    faults.recipe()
    result = CliRunner().invoke(main, ["build", str(recipe), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1, result.output
    assert "on each of 3 requests in a row" in result.output
    assert "it lacks 2 GiB of memory" in result.output
    assert "engine.gpu_memory_utilization" in result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
