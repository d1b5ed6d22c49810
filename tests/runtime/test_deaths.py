"""Workers that die of a job, or merely while it is there: what the pool makes of it."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401 - its settings must be there before ours
import pytest
from distributed import Nanny
from distributed.comm import CommClosedError
from distributed.core import Status

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import cluster
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.launch import Place
from unicorn_hf.runtime.steps import Record
from unicorn_hf.runtime.work import Work

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mortal:
    """A job in which the worker dies so many times."""

    folder: Path
    name: int
    num_deaths: int = 0

    overlap = False

    @property
    def label(self) -> str:
        return f"job {self.name}, of {self.folder}"

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        deaths = self.folder / str(self.name)
        known = len(deaths.read_bytes()) if deaths.exists() else 0
        if known < self.num_deaths:
            deaths.write_bytes(b"x" * (known + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2)
        return Record(inputs=str(self.name), num_bytes={"deaths": known})


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """Where each death is told of, and four in a row are enough."""
    monkeypatch.setattr(cluster, "_MOST_DEATHS", 4)
    settings = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with settings, open_pool(Place(2), lambda num_threads: {}, lambda event: None) as opened:
        yield opened


def test_deaths_are_held_against_no_job_while_anything_gets_done(pool: WorkerPool, tmp_path: Path) -> None:
    came: list[str] = []
    jobs = [Mortal(tmp_path, name, num_deaths=1 if name % 3 == 0 else 0) for name in range(15)]
    records = pool.run(jobs, lambda record: came.append(record.inputs))
    assert [record.inputs for record in records] == [str(name) for name in range(15)]
    assert [record.num_bytes["deaths"] for record in records] == [1, 0, 0] * 5


def test_a_job_that_takes_every_worker_down_is_named_and_the_others_can_be_done(
    pool: WorkerPool, tmp_path: Path
) -> None:
    came: list[str] = []
    jobs = [Mortal(tmp_path, name, num_deaths=100 if name == 4 else 0) for name in range(8)]
    with pytest.raises(RunError, match=rf"4 worker processes died .* same partition: job 4, of {tmp_path}"):
        pool.run(jobs, lambda record: came.append(record.inputs))
    # Not always all of the others: what a worker had done is lost with it until the client has heard of it.
    assert {"0", "1"} <= set(came) <= {"0", "1", "2", "3", "5", "6", "7"}
    others = pool.run([job for job in jobs if job.name != 4], lambda record: None)
    assert [record.inputs for record in others] == ["0", "1", "2", "3", "5", "6", "7"]


def test_workers_that_die_while_they_start_are_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    errors: Iterator[Exception] = iter([RuntimeError("Nanny failed to start."), CommClosedError("Stream is closed")])
    connected = cluster.connected

    def failing(*arguments: Any) -> Any:
        if error := next(errors, None):
            raise error
        return connected(*arguments)

    monkeypatch.setattr(cluster, "connected", failing)
    with open_pool(Place(1), lambda num_threads: {}, lambda event: None) as pool:
        (record,) = pool.run([Mortal(tmp_path, 0)], lambda record: None)
    assert record.inputs == "0"
    errors = itertools.repeat(RuntimeError("Nanny failed to start."))
    opened = open_pool(Place(1), lambda num_threads: {}, lambda event: None)
    with opened as pool, pytest.raises(RunError, match=r"failed to start 4 times; .*: Nanny failed to start"):
        pool.run([Mortal(tmp_path, 0)], lambda record: None)


def test_a_worker_whose_nanny_is_gone_comes_back(tmp_path: Path) -> None:
    with open_pool(Place(1), lambda num_threads: {}, lambda event: None) as pool:
        pool.run([Mortal(tmp_path, 0)], lambda record: None)
        (nanny,) = [nanny for nanny in Nanny._instances if nanny.status == Status.running]
        nanny.loop.add_callback(nanny.close)
        deadline = time.monotonic() + 60
        while nanny.status != Status.closed:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (record,) = pool.run([Mortal(tmp_path, 1)], lambda record: None)
    assert record.inputs == "1"
