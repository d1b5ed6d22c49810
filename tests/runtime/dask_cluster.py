"""A scheduler and workers that somebody else started, as processes of this machine."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from distributed import Security

PATIENCE_S = 240
_WHEN_LEFT = ("--idle-timeout", "1 hour")
"""Tests that are killed leave their cluster: it ends when nobody has used it for so long."""
_AT_REST = {
    "distributed.worker.profile.enabled": "False",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
"""Else each process measures itself up to a hundred times a second, for as long as the tests last."""
SHARED_WORKERS = Path(tempfile.gettempdir()) / f"unicorn-hf-tests-{os.getpid()}" / "scheduler.json"
"""The scheduler of workers that all tests of this process may use; see `share_workers`."""


@dataclass
class Cluster:
    """Ends with `close`; a test may kill any of its processes before."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Dask's, of all its processes: its certificates, if it has some."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        address: str = json.loads(self.scheduler_file.read_text())["address"]
        return address

    def start_scheduler(self) -> None:
        protocol = "tls" if self.settings else "tcp"
        self._start(
            "scheduler", ["--host", f"{protocol}://127.0.0.1", "--port", "0", "--no-dashboard", *_WHEN_LEFT], {}
        )
        deadline = time.monotonic() + PATIENCE_S
        while not self.scheduler_file.exists():
            assert time.monotonic() < deadline, self.log("scheduler")
            time.sleep(0.05)

    def start_worker(
        self, name: str = "worker", environment: Mapping[str, str] | None = None, num_threads: int = 1
    ) -> None:
        options = ["--nthreads", str(num_threads), "--no-dashboard", "--memory-limit", "0", "--name", name]
        self._start(name, [*options, "--local-directory", str(self.folder)], environment or {})

    def _start(self, name: str, options: Sequence[str], environment: Mapping[str, str]) -> None:
        kind = "scheduler" if name == "scheduler" else "worker"
        command = [sys.executable, "-m", "dask", kind, "--scheduler-file", str(self.scheduler_file), *options]
        variables = {**os.environ, **variables_of({**_AT_REST, **self.settings}), **environment}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=variables,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """The process, and those that it started."""
        os.killpg(self.processes[name].pid, 9)
        self.processes.pop(name).wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@cache
def share_workers() -> str:
    """The path of `SHARED_WORKERS`, whose workers have been started."""
    folder = SHARED_WORKERS.parent
    folder.mkdir()
    shared = Cluster(folder)
    atexit.register(shutil.rmtree, folder)
    atexit.register(shared.close)
    shared.start_scheduler()
    shared.start_worker()
    return str(SHARED_WORKERS)


def certificates(folder: Path) -> dict[str, str]:
    """Settings of Dask's that name new certificates in `folder`, with which it speaks TLS and nothing else."""
    made = Security.temporary()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_text(made.tls_ca_file)
    key.write_text(made.tls_client_key)
    settings = {"distributed.comm.tls.ca-file": str(certificate), "distributed.comm.require-encryption": "True"}
    for role in ("client", "scheduler", "worker"):
        settings |= {
            f"distributed.comm.tls.{role}.cert": str(certificate),
            f"distributed.comm.tls.{role}.key": str(key),
        }
    return settings


def variables_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Environment variables by which Dask takes the settings."""
    return {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": value for name, value in settings.items()}


@pytest.fixture
def tls_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """As `cluster`, with certificates, which `settings` name."""
    started = Cluster(tmp_path, certificates(tmp_path))
    started.start_scheduler()
    yield started
    started.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler that runs; a test starts the workers."""
    started = Cluster(tmp_path)
    started.start_scheduler()
    yield started
    started.close()
