"""Workers on this machine's GPUs: Dask-CUDA, and vLLM in a process of its own beside each of them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.builds import command, rows, write_seeds
from tests.stages import answers_of
from unicorn_hf import load_recipe
from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.generation import Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines.engine_process import MARK
from unicorn_hf.runtime.cluster import open_pool
from unicorn_hf.runtime.gpus import visible_gpus
from unicorn_hf.runtime.launch import Place, find_place
from unicorn_hf.runtime.machine import gpus
from unicorn_hf.runtime.steps import Record
from unicorn_hf.runtime.work import Work

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpus() and visible_gpus() and find_spec("dask_cuda")), reason="needs a GPU and dask-cuda"),
]

PATIENCE_S = 150
"""An engine starts in 15 to 100 seconds."""
ENDS_WITHIN_S = 30
GIBIBYTE = 2**30
UTILIZATION = 0.5
# As in the recipe `demo`, which one of the tests builds: vLLM compiles the model only once.
ENGINE = load_recipe("demo").engine.model_copy(update={"gpu_memory_utilization": UTILIZATION})


@dataclass(frozen=True)
class Sees:
    """A job that says which GPUs its worker sees, and fails where it can be reached without a certificate."""

    label = "a job"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        from distributed import get_worker

        time.sleep(1)
        worker = get_worker()
        assert all(address.startswith("tls://127.0.0.1:") for address in (worker.address, worker.nanny))
        return Record(inputs=os.environ["CUDA_VISIBLE_DEVICES"], num_bytes={"pid": os.getpid()})


@dataclass(frozen=True)
class Asks:
    """A job that has the worker's engine answer."""

    generator: GeneratorSpec

    label = "a question"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        request = Request(
            id="a",
            subject="a jar",
            messages=(Message("user", "Describe a red jar on a shelf."),),
            sampling=Sampling(temperature=0, max_tokens=24),
            seed=0,
        )
        with work.engine(self.generator.identity, self.generator.open) as engine:
            answer = answers_of(engine, [request])[0]
        return Record(inputs="", num_bytes={"pid": os.getpid(), "tokens": answer.num_output_tokens})


def engine_processes(worker: int) -> list[psutil.Process]:
    """vLLM's beside a worker."""
    marked = (child for child in psutil.Process(worker).children(recursive=True) if MARK in child.environ())
    return [process for process in marked if "resource_tracker" not in " ".join(process.cmdline())]


def ignore(record: Record) -> None:
    """For who waits for all records."""


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def eventually(condition: Callable[[], object], what: str, within_s: float = ENDS_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def num_used_bytes() -> int:
    """Of the memory of all GPUs of this machine."""
    return sum((gpu.num_bytes or 0) - (gpu.num_free_bytes or 0) for gpu in gpus())


def on_gpus(num_workers: int | None = None) -> Place:
    return find_place("cuda", num_workers, on_cpu=1, uses_gpu=True)


def test_each_worker_sees_its_own_gpus_and_one_that_was_killed_sees_them_again() -> None:
    found = on_gpus()
    with open_pool(found, lambda num_threads: {}, lambda event: None) as pool:
        records = pool.run([Sees()] * (2 * len(found.groups)), ignore)
        assert {record.inputs for record in records} == {group[0] for group in found.groups}
        os.kill(records[0].num_bytes["pid"], signal.SIGKILL)
        again = pool.run([Sees()] * (2 * len(found.groups)), ignore)
    assert {record.inputs for record in again} == {group[0] for group in found.groups}


def test_a_killed_worker_leaves_no_engine_and_no_memory() -> None:
    before = num_used_bytes()
    generator = resolve_generator(ENGINE)
    with open_pool(on_gpus(1), generator.environment, lambda event: None) as pool:
        (record,) = pool.run([Asks(generator)], ignore, on_gpu=True)
        assert record.num_bytes["tokens"] > 0
        engines = engine_processes(record.num_bytes["pid"])
        assert engines, "the engine has no process of its own"
        assert num_used_bytes() > before + 4 * GIBIBYTE

        os.kill(record.num_bytes["pid"], signal.SIGKILL)
        eventually(lambda: not any(map(runs, engines)), "the engine outlives its worker")
        # A context of CUDA's is all that the worker that comes in its place takes.
        eventually(lambda: num_used_bytes() < before + 2 * GIBIBYTE, "the GPU's memory is not free again")


def test_a_build_whose_worker_is_killed_ends_right(tmp_path: Path) -> None:
    before = num_used_bytes()
    write_seeds(tmp_path / "seeds.txt", 400)
    arguments = [
        "demo", "--seeds", "seeds.txt", "--captions", 200, "--instructions", 0, "--encoder", "hashing:64",
        "--cluster", "cuda", "--set", "partition_rows=32", "--set", f"engine.gpu_memory_utilization={UTILIZATION}",
    ]  # fmt: skip
    errors = (tmp_path / "errors.txt").open("wb")
    process = subprocess.Popen(command("build", *arguments), cwd=tmp_path, stderr=errors, start_new_session=True)
    eventually(lambda: process.poll() is not None or answered(tmp_path), "nothing was answered", PATIENCE_S)
    victim = next(child for child in psutil.Process(process.pid).children() if engine_processes(child.pid))
    victim.kill()
    assert process.wait(PATIENCE_S) == 0, (tmp_path / "errors.txt").read_text()
    made = rows(tmp_path / "unicorn", "pretrain")
    assert len(made) == len({row["id"] for row in made}) == 200
    done = subprocess.run(command("validate", "unicorn"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    eventually(lambda: num_used_bytes() < before + GIBIBYTE, "the GPU's memory is not free after the build")


def answered(folder: Path) -> list[Path]:
    """Files that answers are stored in."""
    return list(folder.glob("unicorn.work/answers/*/*/*"))
