"""vLLM's own processes end with the worker that they belong to, and nobody else's do."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from tests.stages import asking
from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines import VllmEngine
from unicorn_hf.engines.engine_process import MARK, clear_up, mark_this_worker
from unicorn_hf.engines.generators.vllm import VllmGenerator
from unicorn_hf.models.demo_models import demo_llm
from unicorn_hf.runtime.work import Work

pytestmark = pytest.mark.slow

PATIENCE_S = 240
ENGINE = VllmEngine(model="demo:smollm2-135m-instruct", dtype="bfloat16", max_model_len=256, cpu_kvcache_gib=1)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def sleeper(mark: str | None) -> psutil.Popen:
    variables = {name: value for name, value in os.environ.items() if name != MARK} | ({MARK: mark} if mark else {})
    process = psutil.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=variables)
    eventually(lambda: process.environ().get(MARK) == mark)
    return process


@pytest.fixture
def dead() -> str:
    """The mark of a worker that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    mark = f"{process.pid}@{psutil.Process(process.pid).create_time():.2f}"
    process.wait()
    return mark


@pytest.fixture
def alive() -> str:
    process = psutil.Process()
    return f"{process.pid}@{process.create_time():.2f}"


def test_what_a_dead_worker_left_is_ended_and_nothing_else(dead: str, alive: str) -> None:
    pid = alive.partition("@")[0]
    left, reused = sleeper(dead), sleeper(f"{pid}@1.00")
    others = [sleeper(alive), sleeper(None)]
    try:
        assert clear_up() == 2
        assert not left.is_running()
        assert not reused.is_running(), "the PID came again, the worker did not"
        assert all(process.is_running() for process in others)
    finally:
        for process in (left, reused, *others):
            if process.is_running():
                process.kill()
            process.wait()


def _mark_as_a_daemon() -> None:
    try:
        mark_this_worker()
    except RunError as error:
        sys.exit(7 if "DAEMON=False" in error.advice else 1)


def test_a_worker_that_may_have_no_processes_says_what_to_do() -> None:
    process = get_context("spawn").Process(target=_mark_as_a_daemon, daemon=True)
    process.start()
    process.join()
    assert process.exitcode == 7


def _work(model: str) -> None:
    VllmGenerator(ENGINE, model)
    time.sleep(600)


def _answer(model: str, path: Path) -> None:
    """As a job does it: answers from the worker's engine into the partition's store."""
    sampling = Sampling(temperature=0, max_tokens=40)
    requests = [Request(str(n), "", (Message("user", f"Count from {n} to 99."),), sampling, n) for n in range(8)]
    engine = GeneratorSpec(ENGINE, "engine", model)
    work = Work()
    answers = asking(path, engine, work).ask(requests)
    path.with_suffix(".json").write_text(json.dumps([[answer.finish_reason, answer.text] for answer in answers]))
    work.slot.let_go("")


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENGINE.environment(1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "spawn")


@pytest.fixture
def worker(own_process: None) -> Iterator[BaseProcess]:
    process = get_context("spawn").Process(target=_work, args=(str(demo_llm("smollm2-135m-instruct")),))
    process.start()
    yield process
    process.kill()
    process.join()


def children(worker: BaseProcess) -> list[psutil.Process]:
    """Those that are engine processes: the worker's mark is on them."""
    found = []
    for process in psutil.Process(worker.pid).children(recursive=True):
        try:
            found += [process] if MARK in process.environ() else []
        except psutil.Error:
            continue
    return found


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.real
def test_an_engine_process_has_its_workers_mark_from_the_start_and_ends_with_it(worker: BaseProcess) -> None:
    # Before that, its handshake holds it: the next worker finds it by its mark, as above.
    eventually(lambda: any(process.name().startswith("VLLM") for process in children(worker)))
    # The model's weights are in its memory.
    eventually(lambda: any(process.memory_info().rss > 2**30 for process in children(worker)))
    engines = children(worker)
    worker.kill()
    eventually(lambda: not any(map(runs, engines)))


@pytest.mark.real
def test_a_worker_outlives_its_engine_and_asks_a_new_one(own_process: None, tmp_path: Path) -> None:
    path = tmp_path / "000-00000.parquet"
    attempts, model = path.with_name(f"{path.name}.attempts"), str(demo_llm("smollm2-135m-instruct"))
    worker = get_context("spawn").Process(target=_answer, args=(model, path))
    worker.start()
    try:
        eventually(attempts.exists)
        first = children(worker)
        assert first
        for engine in first:
            engine.kill()
        worker.join(PATIENCE_S)
        assert worker.exitcode == 0
    finally:
        worker.kill()
        worker.join()
    answers = json.loads(path.with_suffix(".json").read_text())
    assert {reason for reason, _ in answers} <= {"stop", "length"}
    assert all(text for _, text in answers)
    assert not attempts.exists()
    assert not any(map(runs, first))
