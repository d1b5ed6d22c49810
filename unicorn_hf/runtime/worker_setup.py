"""What a worker process goes through before its first job, and at the end of the build; it runs in the worker."""

import logging
import os
import platform
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distributed import Status, WorkerPlugin

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.packages import packages_of_all
from unicorn_hf.runtime.gpus import GPU_SLOTS, visible_gpus
from unicorn_hf.runtime.installed import installed_version
from unicorn_hf.runtime.workers import let_go, refuse

log = logging.getLogger(__name__)

Environment = Callable[[int], Mapping[str, str]]
"""Variables for a worker that may use so many threads of the processor."""
_MATTERS = ("unicorn-hf", "dask", "distributed", "numpy", "pyarrow", "datasets")
"""Packages that rows depend on, or that pass objects between processes, beside those of engines and encoders."""


class SetUp(WorkerPlugin):  # type: ignore[misc]
    """Registered with a build's workers, those that come later too.

    Args:
        build: what it is called among the builds that share the workers.
        client_versions: those of the process that the user started.
        marker: a file of the build's folder, which the worker must see.
        environment: for a worker that was started by somebody else, its variables, by the number of threads.
    """

    def __init__(
        self,
        build: str,
        client_versions: Mapping[str, str],
        marker: Path | None,
        environment: Environment | None = None,
    ) -> None:
        self._build = build
        self._client_versions = dict(client_versions)
        self._marker = marker
        self._environment = environment

    async def setup(self, worker: Any) -> None:
        """Make the worker ready; one that would make other rows, or none, leaves the cluster."""
        try:
            check(self._client_versions, self._marker)
        except InputError as error:
            refuse()
            log.error("this worker leaves: %s", error)
            worker.loop.add_callback(worker.close, reason="unicorn-hf-refused")
            return
        if self._environment is None:
            # Ctrl-C in a terminal reaches all processes; the client alone answers it, and ends the workers. This is
            # the main thread of the worker's process.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        try:
            # In place of the one thread that a nanny prescribes unless told otherwise.
            os.environ.update(self._environment(worker.state.nthreads))
        except InputError as error:
            log.warning("this worker does what needs no language model: %s", error)
        if visible_gpus():
            await worker.set_resources(**{GPU_SLOTS: worker.state.nthreads})
            # The scheduler looks for jobs that nobody could do when a worker begins to run, and has done so by now.
            worker.status = Status.paused
            worker.status = Status.running

    def teardown(self, worker: Any) -> None:
        """The engine's memory goes back: others use this worker too."""
        if self._environment is not None:
            let_go(self._build)


def check(client_versions: Mapping[str, str], marker: Path | None) -> None:
    """See that this process makes the rows that the client's would, where the client wants them.

    Raises:
        InputError: other versions, or another file system.
    """
    who = f"the worker {os.getpid()} on {platform.node()}"
    if problem := differences(client_versions, versions()):
        raise InputError(f"{who} has other versions: {problem}", "Give workers and client the same environment.")
    if marker and not _is_seen(marker):
        raise InputError(
            f"{who} does not see the work folder {marker.parent}",
            "--work-dir must lie on a file system that all workers share, at the same path, or be a URL like"
            " s3://BUCKET/PATH. It is private: workers must run as the user who builds.",
        )


def _is_seen(marker: Path) -> bool:
    try:
        return marker.is_file()
    except PermissionError:
        return False


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter, as far as they are installed in this process."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    return found | {name: version for name in (*_MATTERS, *packages_of_all()) if (version := installed_version(name))}


def differences(client: Mapping[str, str], worker: Mapping[str, str]) -> str:
    """What both have, and not in the same version; a client need not have the engines."""
    both = sorted(set(client) & set(worker))
    return ", ".join(f"{name} {worker[name]}, here {client[name]}" for name in both if client[name] != worker[name])
