"""Nobody else gets a task onto the workers of a build, at whatever port of its processes: Dask runs what it is sent."""

import fnmatch
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from click.testing import CliRunner

from tests.builds import REHEARSAL, write_seeds
from tests.held_up import NUM_WORKERS, held_up
from tests.runtime.dask_cluster import PATIENCE_S, Cluster, variables_of
from unicorn_hf.cli import main
from unicorn_hf.runtime import launch

pytestmark = pytest.mark.slow

PAGES = ("health", "metrics", "info/main/workers.html", "json/counts.json", "statics/css/base.css")


def intrude(folder: Path, ports: set[int], settings: Mapping[str, str] | None = None) -> list[str]:
    """What a process with these certificates, or none, had run: the tries that succeeded."""
    traces = folder / "traces"
    traces.mkdir()
    addresses = [f"{scheme}://127.0.0.1:{port}" for port in sorted(ports) for scheme in ("tcp", "tls")]
    command = [sys.executable, "-m", "tests.intruder", str(traces), *addresses]
    variables = {**os.environ, **variables_of(settings or {})}
    root = Path(__file__).parent.parent
    subprocess.run(command, check=True, timeout=PATIENCE_S, cwd=root, env=variables, capture_output=True)
    return sorted(path.name for path in traces.iterdir())


def pages(ports: set[int]) -> list[str]:
    """Of those that Dask has about itself, the ones that these ports show to anybody."""
    directly, found = urllib.request.build_opener(urllib.request.ProxyHandler({})), []
    for url in (f"http://127.0.0.1:{port}/{page}" for port in ports for page in PAGES):
        with suppress(OSError, HTTPException):  # Refused, or no HTTP at all.
            directly.open(url, timeout=PATIENCE_S).close()
            found.append(url)
    return found


def listening(pid: int) -> dict[tuple[str, int], int]:
    """Addresses at which a process and all that it started can be reached, and whose they are."""
    own = psutil.Process(pid)
    found = {}
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # One that only looked something up.
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found[connection.laddr] = process.pid
    return found


@pytest.mark.parametrize("kind", ["cluster", "tls_cluster"])
def test_the_intruder_gets_into_a_cluster_that_is_open_and_where_it_has_the_certificate(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Else what follows would show nothing."""
    cluster: Cluster = request.getfixturevalue(kind)
    cluster.start_worker()
    worker = cluster.processes["worker"]
    deadline = time.monotonic() + PATIENCE_S
    while len(ports := {port for _, port in listening(worker.pid)}) < 3:  # Nanny, worker, and the worker's pages.
        assert time.monotonic() < deadline, cluster.log("worker")
        time.sleep(0.1)
    scheduler = urlsplit(cluster.address)
    traces = intrude(tmp_path, ports | {scheduler.port or 0}, cluster.settings)
    assert f"submit-{scheduler.scheme}-127-0-0-1-{scheduler.port}-none" in traces
    assert len(fnmatch.filter(traces, f"call-{scheduler.scheme}-*-none")) == 2


def test_a_process_without_the_certificate_gets_no_task_onto_a_builds_cluster(tmp_path: Path) -> None:
    with held_up(tmp_path) as build:
        process = build.process
        found = listening(process.pid)
        assert {host for host, _ in found} == {"127.0.0.1"}
        # Scheduler and nannies in the build's own process, and the workers in theirs.
        assert len([pid for pid in found.values() if pid == process.pid]) >= 1 + NUM_WORKERS
        assert len(set(found.values())) == 1 + NUM_WORKERS
        ports = {port for _, port in found}
        assert intrude(tmp_path, ports) == []
        assert pages(ports) == []


def output_of_a_build(folder: Path, *arguments: str) -> str:
    seeds = str(write_seeds(folder / "seeds.txt", 4))
    small = ["--seeds", seeds, *REHEARSAL, "--captions", "4", "--instructions", "0", "--out", str(folder / "unicorn")]
    return CliRunner().invoke(main, ["build", "demo", *small, *arguments]).output


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_a_build_says_that_its_scheduler_is_open_to_its_network(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_ANSWER_S", 1)
    address = "tcp://192.0.2.1:1"  # Nobody's.
    output = output_of_a_build(tmp_path, "--cluster", address, *arguments)
    assert f"the scheduler {address} is open to its network" in output
    assert "Start it with TLS" in output


def test_a_build_says_who_can_open_its_dashboard(tmp_path: Path) -> None:
    assert "(every user of this machine can open it)" in output_of_a_build(tmp_path, "--dashboard", "--workers", "1")


def test_a_build_says_that_its_work_folder_is_open_and_leaves_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    mine.chmod(0o755)
    output = output_of_a_build(tmp_path, "--work-dir", str(mine), "--workers", "1")
    assert f"other users can read the work folder {mine}" in output
    assert "dashboard" not in output, "it was not asked for"
    assert mine.stat().st_mode & 0o777 == 0o755
