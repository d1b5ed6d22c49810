"""Setup of a worker process before its first job, and cleanup at the end of the build; it runs in the worker."""

import logging
import os
import platform
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Status, WorkerPlugin

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.packages import packages_of_all
from unicorn_hf.runtime.gpus import GPU_SLOTS, visible_gpus
from unicorn_hf.runtime.installed import installed_version
from unicorn_hf.runtime.workers import WORKER

log = logging.getLogger(__name__)

Environment = Callable[[int], Mapping[str, str]]
"""Environment variables of a worker, by the number of CPU threads that it may use."""
_MATTERS = ("unicorn-hf", "dask", "distributed", "numpy", "pyarrow", "datasets")
"""Packages that affect rows or pass objects between processes, besides those of engines and encoders."""


@dataclass(eq=False)
class SetUp(WorkerPlugin):  # type: ignore[misc]
    """Plugin that sets up each worker of a build, also those that join later."""

    build: str
    """Its name among the builds that share the workers."""
    client_versions: dict[str, str]
    """Package versions in the client."""
    marker: Path | None
    """A file in the build's folder, which the worker must see."""
    environment: Environment | None
    """Variables for a worker of an existing cluster."""

    async def setup(self, worker: Any) -> None:
        """Set up the worker. A worker that would make different rows, or none, leaves the cluster."""
        try:
            check(self.client_versions, self.marker)
        except InputError as error:
            WORKER.refuses = True
            log.error("this worker leaves: %s", error)
            worker.loop.add_callback(worker.close, reason="unicorn-hf-refused")
            return
        if self.environment is None:
            # Ctrl-C in a terminal reaches all processes; only the client handles it, and ends the workers. This runs in
            # the main thread of the worker's process, as `signal` requires.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        try:
            # Overrides the single thread that a nanny sets by default.
            os.environ.update(self.environment(worker.state.nthreads))
        except InputError as error:
            log.warning("this worker can run only jobs without a language model: %s", error)
        if visible_gpus():
            await worker.set_resources(**{GPU_SLOTS: worker.state.nthreads})
            # The scheduler reassigns jobs that no worker could run only when a worker's status becomes running.
            worker.status = Status.paused
            worker.status = Status.running

    def teardown(self, worker: Any) -> None:
        """Free the engine's memory: others use this worker too."""
        if self.environment is not None:
            WORKER.slot.let_go(self.build)


def check(client_versions: Mapping[str, str], marker: Path | None) -> None:
    """Check that this process would make the same rows as the client, and sees the client's folder.

    Raises:
        InputError: it has other versions, or another file system.
    """
    who = f"the worker {os.getpid()} on {platform.node()}"
    if problem := differences(client_versions, versions()):
        raise InputError(f"{who} has other versions: {problem}", "Install the same versions on workers and client.")
    if marker and not _is_seen(marker):
        raise InputError(
            f"{who} does not see the work folder {marker.parent}",
            "--work-dir must be on a file system that all workers share, at the same path, or a URL like"
            " s3://BUCKET/PATH. It is private: workers must run as the same user as the build.",
        )


def _is_seen(marker: Path) -> bool:
    try:
        return marker.is_file()
    except PermissionError:
        return False


def versions() -> dict[str, str]:
    """Versions of Python and of the relevant packages that are installed in this process."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    return found | {name: version for name in (*_MATTERS, *packages_of_all()) if (version := installed_version(name))}


def differences(client: Mapping[str, str], worker: Mapping[str, str]) -> str:
    """Packages that both have in different versions, as text; a client need not have the engines."""
    both = sorted(set(client) & set(worker))
    return ", ".join(f"{name} {worker[name]} (client: {client[name]})" for name in both if client[name] != worker[name])
