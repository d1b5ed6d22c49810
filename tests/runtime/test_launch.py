"""Where workers run: on this machine, on its GPUs, or on a cluster that somebody started."""

import os
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import pytest

from tests.runtime.dask_cluster import PATIENCE_S, Cluster, certificates
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.runtime import launch
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.launch import Place, count_workers, find_place
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.steps import Record
from unicorn_hf.runtime.work import Work

pytestmark = pytest.mark.slow

place = partial(find_place, on_cpu=3, uses_gpu=True)


def settings(num_threads: int) -> dict[str, str]:
    return {"UNICORN_HF_TEST": str(num_threads)}


class Engine:
    """Leaves a file where it was closed."""

    def __init__(self, closed: Path) -> None:
        self._closed = closed

    def close(self) -> None:
        self._closed.touch()


@dataclass(frozen=True)
class Job:
    """Says which process it ran in; lasts for a time."""

    folder: Path
    name: int
    lasts_s: float = 0.0

    label = "a job"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        with work.engine("engine", lambda: Engine(self.folder / "closed")):
            time.sleep(self.lasts_s)
        threads = int(os.environ.get("UNICORN_HF_TEST", 0))
        return Record(inputs=str(self.name), num_bytes={"pid": os.getpid(), "threads": threads})


@dataclass(frozen=True)
class Sees:
    """A job that says which GPUs it sees."""

    lasts_s: float

    label = "a job"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        time.sleep(self.lasts_s)
        return Record(inputs=os.environ["CUDA_VISIBLE_DEVICES"], num_bytes={"pid": os.getpid()})


class Paced:
    """A job that lasts as long as its worker is slow, and says how slow that is."""

    label = "a job"
    overlap = False

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        slowness = int(os.environ.get("UNICORN_HF_TEST_SLOWNESS", 1))
        time.sleep(0.02 * slowness)
        return Record(inputs="", num_bytes={"slowness": slowness})


def ignore(record: Record) -> None:
    """For who waits for all records."""


def jobs(folder: Path, number: int, lasts_s: float = 0.0) -> list[Job]:
    return [Job(folder, name, lasts_s) for name in range(number)]


def run(pool: WorkerPool, work: list[Job], on_record: Callable[[Record], None] = lambda record: None) -> list[Record]:
    return pool.run(work, on_record)


def joined(where: str | Path, folder: Path) -> list[Record]:
    with open_pool(Place(scheduler=str(where)), settings, lambda event: None, folder=folder) as pool:
        return run(pool, jobs(folder, 8))


# -- which place -------------------------------------------------------------------------------------------------------


def test_without_gpus_workers_are_processes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert place("auto", None) == place("local", None) == Place(3)
    assert place("auto", 5) == Place(5)


@pytest.mark.parametrize(
    ("gpus_per_worker", "groups"),
    [
        (1, tuple((str(gpu),) for gpu in range(8))),
        (2, (("0", "1"), ("2", "3"), ("4", "5"), ("6", "7"))),
        (4, (("0", "1", "2", "3"), ("4", "5", "6", "7"))),
        (8, (tuple("01234567"),)),
        (3, (("0", "1", "2"), ("3", "4", "5"))),
    ],
)
def test_a_worker_owns_a_group_of_gpus(
    monkeypatch: pytest.MonkeyPatch, gpus_per_worker: int, groups: tuple[tuple[str, ...], ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    monkeypatch.setattr(launch, "find_spec", lambda name: name)
    found = place("auto", None, gpus_per_worker=gpus_per_worker)
    assert found == Place(len(groups), groups)
    assert place("cuda", 1, gpus_per_worker=gpus_per_worker) == Place(1, groups[:1])
    with pytest.raises(InputError, match=f"at most --workers {len(groups)}"):
        place("cuda", len(groups) + 1, gpus_per_worker=gpus_per_worker)


def test_a_build_without_use_for_gpus_leaves_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert find_place("auto", None, on_cpu=3, uses_gpu=False) == Place(3)


def test_too_few_gpus_and_a_missing_dask_cuda_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1,GPU-2")
    monkeypatch.setattr(launch, "find_spec", lambda name: name)
    with pytest.raises(InputError, match=r"a worker needs 4 GPUs .* but only 2 are visible"):
        place("auto", None, gpus_per_worker=4)
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="dask-cuda is not installed"):
        place("auto", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError):
        place("cuda", None)


def test_what_is_no_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cluster 'slurm'"):
        place("slurm", None)
    with pytest.raises(InputError, match="no cluster"):
        place(str(tmp_path / "none.json"), None)


# -- here --------------------------------------------------------------------------------------------------------------


def test_workers_here_get_their_variables_before_they_start(tmp_path: Path) -> None:
    with open_pool(Place(2), settings, lambda event: None) as pool:
        records = run(pool, jobs(tmp_path, 6, 0.05))
    assert {record.num_bytes["threads"] for record in records} == {max(1, cpu_count() // 2)}
    assert [record.inputs for record in records] == [str(name) for name in range(6)]


@pytest.mark.parametrize("asked", [True, False])
def test_the_dashboard_is_told_where_there_is_one(asked: bool) -> None:
    links: list[str] = []

    def told(event: dict[str, Any]) -> None:
        if event["event"] == "dashboard":
            links.append(event["link"])
            directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            assert directly.open(event["link"], timeout=PATIENCE_S).status == 200

    with open_pool(Place(1, dashboard=asked), settings, told) as pool:
        pool.run([Paced()], ignore)
    assert len(links) == asked


def test_a_dashboard_without_bokeh_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="requires Bokeh"):
        place("local", 1, dashboard=True)


def test_nothing_is_started_where_there_is_nothing_to_do() -> None:
    with open_pool(Place(scheduler="tcp://127.0.0.1:1"), settings, lambda event: None) as pool:
        assert run(pool, []) == []


# -- on a cluster that somebody started --------------------------------------------------------------------------------


def test_workers_of_a_scheduler_are_used_and_left_as_they_were(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_worker(num_threads=3)
    by_file = joined(cluster.scheduler_file, tmp_path)
    assert {record.num_bytes["threads"] for record in by_file} == {3}
    assert (tmp_path / "closed").exists(), "the engine's memory was not given back"
    by_address = joined(cluster.address, tmp_path)
    assert by_file == by_address
    assert cluster.processes["worker"].poll() is None
    assert not list(tmp_path.glob(".workers-see-this-*"))


def no_engine(num_threads: int) -> dict[str, str]:
    raise InputError("vLLM is not installed")


def test_a_worker_without_the_engine_does_what_needs_none(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_worker()
    with open_pool(Place(scheduler=cluster.address), no_engine, lambda event: None, folder=tmp_path) as pool:
        assert len(run(pool, jobs(tmp_path, 3))) == 3
    assert "vLLM is not installed" in cluster.log("worker")


def test_workers_come_and_go(cluster: Cluster, tmp_path: Path) -> None:
    came = threading.Event()
    cluster.start_worker("first")

    def change(record: Record) -> None:
        if not came.is_set():
            came.set()
            cluster.start_worker("second")
        if int(record.inputs) == 20:
            cluster.kill("first")

    with open_pool(Place(scheduler=cluster.address), settings, lambda event: None, folder=tmp_path) as pool:
        records = run(pool, jobs(tmp_path, 60, 0.2), change)
    assert [record.inputs for record in records] == [str(name) for name in range(60)]
    assert len({record.num_bytes["pid"] for record in records}) == 2


def test_jobs_that_use_a_gpu_go_where_one_is(cluster: Cluster, tmp_path: Path) -> None:
    """Whether a worker sees one is what its CUDA_VISIBLE_DEVICES says, as for `--cluster auto`."""
    cluster.start_worker("without", {"CUDA_VISIBLE_DEVICES": ""})
    lost = threading.Event()

    def lose(record: Record) -> None:
        if not lost.is_set():
            cluster.kill("with")
            lost.set()

    def bring() -> None:
        lost.wait(PATIENCE_S)
        # Late enough that the scheduler has nobody for the jobs that the lost worker had.
        time.sleep(2)
        cluster.start_worker("with again", {"CUDA_VISIBLE_DEVICES": "1"})

    def gpus(records: list[Record]) -> set[str]:
        return {record.inputs for record in records}

    opened = open_pool(Place(scheduler=cluster.address), settings, lambda event: None, folder=tmp_path)
    with opened as pool, ThreadPoolExecutor(1) as threads:
        sees = [Sees(0.05)] * 20
        assert gpus(pool.run(sees, ignore, on_gpu=True)) == {""}
        cluster.start_worker("with", {"CUDA_VISIBLE_DEVICES": "0"})
        deadline = time.monotonic() + PATIENCE_S
        while gpus(pool.run(sees, ignore)) != {"", "0"}:
            assert time.monotonic() < deadline, "the worker with a GPU does none of the rest"
        brought = threads.submit(bring)
        assert gpus(pool.run(sees, lose, on_gpu=True)) == {"0", "1"}
        brought.result()
        assert gpus(pool.run(sees, ignore)) == {"", "1"}


def test_workers_of_different_speed_get_work_as_they_finish(cluster: Cluster, tmp_path: Path) -> None:
    slowness = 15
    cluster.start_worker("fast")
    cluster.start_worker("slow", {"UNICORN_HF_TEST_SLOWNESS": str(slowness)})
    with open_pool(Place(2, scheduler=cluster.address), settings, lambda event: None, folder=tmp_path) as pool:
        ran = [record.num_bytes for record in pool.run([Paced()] * 60, ignore)]
    slow = [job for job in ran if job["slowness"] == slowness]
    fast = [job for job in ran if job["slowness"] != slowness]
    assert 1 <= len(slow) <= len(fast) / 2


def test_a_lost_scheduler_ends_the_build(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_worker()
    opened = open_pool(Place(scheduler=cluster.address), settings, lambda event: None, folder=tmp_path)
    # How long a client tries to connect again.
    impatient = dask.config.set({"distributed.comm.timeouts.connect": "2s"})
    with impatient, pytest.raises(RunError, match="the connection to the scheduler was lost"), opened as pool:
        run(pool, jobs(tmp_path, 200, 0.1), lambda record: record.inputs != "3" or cluster.kill("scheduler"))


class Ending:
    """An engine that says whether it was closed while it was in use."""

    def __init__(self) -> None:
        self.closed = False

    def use(self) -> bool:
        time.sleep(0.05)
        return not self.closed

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Using:
    """A job with an engine of its build's own; two rows."""

    build: str
    name: int

    label = "a job"
    overlap = True

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        with work.waiting(), work.engine(self.build, Ending) as engine:
            lasted = engine.use()
        work.rows(2)
        return Record(inputs=f"{self.build} {self.name}", num_bytes={"lasted": int(lasted)})


def test_two_builds_share_a_worker(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_worker(num_threads=4)

    def build(name: str) -> tuple[list[Record], int]:
        rows: list[int] = []
        opened = open_pool(
            Place(scheduler=cluster.address),
            settings,
            lambda event: rows.append(event.get("rows", 0)),
            jobs_at_once=2,
            folder=tmp_path,
        )
        with opened as pool:
            records = pool.run([Using(name, at) for at in range(20)], lambda record: None)
            deadline = time.monotonic() + PATIENCE_S
            while sum(rows) < 40 and time.monotonic() < deadline:
                time.sleep(0.05)
        return records, sum(rows)

    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(build, ["one", "other"]))
    for name, (records, num_rows) in zip(["one", "other"], both, strict=True):
        assert [record.inputs for record in records] == [f"{name} {at}" for at in range(20)]
        assert all(record.num_bytes["lasted"] for record in records), "the engine was closed while it was in use"
        assert num_rows == 40, "a build was told of the other's rows"


def test_no_scheduler_and_no_workers_are_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_ANSWER_S", 1)
    monkeypatch.setattr(launch, "_WORKERS_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp"):
        joined("tcp://127.0.0.1:1", tmp_path)
    with pytest.raises(RunError, match="has 0 of 1 workers after 1 s"):
        joined(cluster.address, tmp_path)


def test_a_scheduler_with_tls_is_joined_with_certificates_from_dasks_configuration(
    tls_cluster: Cluster, tmp_path: Path
) -> None:
    tls_cluster.start_worker()
    assert tls_cluster.address.startswith("tls://")
    with dask.config.set(tls_cluster.settings):
        assert len(joined(tls_cluster.address, tmp_path)) == 8
        assert len(joined(tls_cluster.scheduler_file, tmp_path)) == 8


def test_a_configuration_that_does_not_fit_the_scheduler_is_told(
    tls_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_ANSWER_S", 5)
    (tmp_path / "strange").mkdir()
    right, strange = tls_cluster.settings, certificates(tmp_path / "strange")
    lost = {**right, "distributed.comm.tls.client.key": str(tmp_path / "lost.pem")}
    address = tls_cluster.address
    in_clear_text = address.replace("tls://", "tcp://")
    cases: list[tuple[str, dict[str, str], str]] = [
        (address, {}, "needs certificates, and Dask's configuration has none"),
        (address, strange, "no Dask scheduler answers at tls://.*certificate does not match"),
        (address, lost, "Dask's TLS configuration cannot be used"),
        (in_clear_text, {}, "no Dask scheduler answers at tcp://"),
        (in_clear_text, dict(right), "requires encryption, and tcp://.* has none"),
    ]
    for where, settings, message in cases:
        with dask.config.set(settings), pytest.raises(InputError, match=message):
            joined(where, tmp_path)


def test_a_worker_of_other_versions_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other" / "numpy-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    strange = {"PYTHONPATH": os.pathsep.join([str(other.parent), os.environ.get("PYTHONPATH", "")])}
    cluster.start_worker("strange", strange)
    with pytest.raises(InputError, match=r"has other versions: numpy 0\.1 \(client: "):
        joined(cluster.address, tmp_path)
    # One that comes later does not join, and the build goes on without it.
    cluster.kill("strange")
    cluster.start_worker("good")
    opened = open_pool(Place(scheduler=cluster.address), settings, lambda event: None, folder=tmp_path)
    with opened as pool:
        run(pool, jobs(tmp_path, 1))
        cluster.start_worker("late", strange)
        deadline = time.monotonic() + PATIENCE_S
        while "has other versions" not in cluster.log("late"):
            assert time.monotonic() < deadline, cluster.log("late")
            time.sleep(0.1)
        pids = {record.num_bytes["pid"] for record in run(pool, jobs(tmp_path, 8, 0.05))}
    assert len(pids) == 1


def test_a_worker_that_does_not_see_the_folder_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start_worker()
    # What the client writes, the worker does not find.
    monkeypatch.setattr(launch, "write_bytes", lambda path, content: None)
    with pytest.raises(InputError, match=f"does not see the work folder {tmp_path}") as caught:
        joined(cluster.address, tmp_path)
    assert "workers must run as the same user" in caught.value.advice


def test_workers_that_share_something_are_counted(cluster: Cluster) -> None:
    """Those that are there, those that were asked for, and never none."""
    assert count_workers(Place(3)) == 3
    assert count_workers(Place(scheduler=cluster.address)) == 1
    cluster.start_worker("first")
    cluster.start_worker("second")
    deadline = time.monotonic() + PATIENCE_S
    while count_workers(Place(scheduler=cluster.address)) < 2:
        assert time.monotonic() < deadline
    assert count_workers(Place(scheduler=str(cluster.scheduler_file))) == 2
    assert count_workers(Place(5, scheduler=cluster.address)) == 5
