"""Where the worker processes of a build run: on this machine, on its GPUs, or on an existing cluster."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.runtime.files import write_bytes
from unicorn_hf.runtime.gpus import Group, grouped, visible_gpus
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.scheduler_address import SEE_CERTIFICATES, address_of, check_security, is_closed

if TYPE_CHECKING:
    from unicorn_hf.runtime.worker_setup import Environment

_KINDS = ("auto", "local", "cuda")
_ANSWER_S = 30
_RESTORED_EVERY_S = 3
_WORKERS_S = 600
"""Wait for the first workers: a batch system may queue them."""


@dataclass(frozen=True)
class Place:
    """Where a build's workers run, as known before they start."""

    num_workers: int | None = None
    """None for a cluster whose workers come and go."""
    groups: tuple[Group, ...] = ()
    """The GPUs of each worker; empty without GPUs."""
    scheduler: str = ""
    """Address or file of a running scheduler."""
    dashboard: bool = False
    """Whether a local cluster serves Dask's dashboard."""

    @property
    def warning(self) -> str:
        """What is unsafe about the place; empty if it is safe."""
        if not self.scheduler or is_closed(address := address_of(self.scheduler)):
            return ""
        return (
            f"the scheduler {address} is open to its network: anyone who can reach or impersonate it can run code as"
            " you. Start it with TLS and give its tls:// address (see docs/clusters.md), or isolate the network"
        )

    @property
    def words(self) -> str:
        if self.scheduler:
            return f"those of the scheduler {self.scheduler}"
        gpus = f", {len(self.groups[0])} GPU each" if self.groups else ""
        return f"{self.num_workers}{gpus}"


def find_place(
    kind: str,
    num_workers: int | None,
    *,
    on_cpu: int,
    uses_gpu: bool,
    gpus_per_worker: int = 1,
    dashboard: bool = False,
) -> Place:
    """Resolve a recipe's `cluster.kind`.

    Args:
        kind: `auto`, `local`, `cuda`, the address of a scheduler, or the path of its file.
        num_workers: the number that the user requested.
        on_cpu: the number that suits a build on this machine's CPU.
        uses_gpu: whether the engine or the encoder can use a GPU.
        gpus_per_worker: GPUs that one engine needs.
        dashboard: whether a local cluster serves Dask's dashboard.

    Raises:
        InputError: there are too few GPUs, dask-cuda or Bokeh is not installed, the scheduler's file is missing, or its
            address contains credentials.
    """
    if kind not in _KINDS:
        return _scheduler(kind, num_workers)
    if dashboard and find_spec("bokeh") is None:
        raise InputError(
            "Dask's dashboard requires Bokeh, which is not installed",
            "pip install 'unicorn-hf[report]', or omit --dashboard.",
        )
    gpus = visible_gpus() if kind == "cuda" or (kind == "auto" and uses_gpu) else []
    if kind == "cuda" or gpus:
        if find_spec("dask_cuda") is None:
            raise InputError(
                "GPUs are visible, but dask-cuda is not installed",
                "pip install 'unicorn-hf[gpu]', or use --cluster local.",
            )
        groups = grouped(gpus, gpus_per_worker)
        if (num_workers or 1) > len(groups):
            raise InputError(
                f"{num_workers} workers with {gpus_per_worker} GPU each, but only {len(gpus)} GPUs are visible",
                f"Use at most --workers {len(groups)}.",
            )
        groups = groups[:num_workers]
        return Place(len(groups), tuple(groups), dashboard=dashboard)
    return Place(num_workers or on_cpu, dashboard=dashboard)


def count_workers(place: Place) -> int:
    """The number of workers of a build: as requested, or as its scheduler has now; at least 1."""
    if place.num_workers:
        return place.num_workers
    from distributed import Client

    try:
        with Client(address_of(place.scheduler), set_as_default=False, timeout=_ANSWER_S) as client:
            return max(1, len(client.nthreads()))
    except (OSError, ValueError):
        return 1  # The build itself reports why there are none.


@contextmanager
def connected(
    place: Place, build: str, environment: "Environment", folder: Path | None, num_threads: int
) -> Iterator[Any]:
    """Yield a Dask client whose workers are set up to run jobs.

    Args:
        build: its name among the builds that share the workers.
        folder: where shards are written, which each worker must see; None if all are on this machine.
        num_threads: jobs in flight per worker of a local cluster.

    Raises:
        InputError: no scheduler answers, or a worker has other versions or does not see the folder.
    """
    from unicorn_hf.runtime.worker_setup import SetUp, check, versions

    cluster = _joined(place) if place.scheduler else _started(place, environment, num_threads)
    # The file outlives the workers: one that still starts when the build is interrupted must not miss it.
    with _marked(folder) as marker, cluster as client:
        mine = versions()
        if place.scheduler:
            client.run(check, mine, marker)
        setup = SetUp(build, mine, marker, environment if place.scheduler else None)
        client.register_plugin(setup, name=build)
        try:
            yield client
        finally:
            if place.scheduler:
                # The scheduler may be gone, and the workers with it.
                with suppress(OSError, ValueError, TimeoutError):
                    client.unregister_worker_plugin(build)


@contextmanager
def _started(place: Place, environment: "Environment", num_threads: int) -> Iterator[Any]:
    """Start workers that end with the build and accept no other peer.

    Dask runs any code it receives. So scheduler, nannies and workers use TLS and require of each peer the certificate
    of this run, which exists only in the memory of these processes (decision 23).
    """
    import dask
    from distributed import Client, LocalCluster, Security

    num_workers = place.num_workers or 1
    settings = {
        # Set before a worker's interpreter starts: libraries read thread counts once.
        "distributed.nanny.pre-spawn-environ": dict(environment(max(1, cpu_count() // num_workers))),
        # An engine may start processes, which a daemon may not.
        "distributed.worker.daemon": False,
        # On a busy machine a worker may restart slowly.
        "distributed.deploy.lost-worker-timeout": "60s",
        # Each process runs an HTTP server that would show jobs to every user of this machine: serve no pages.
        "distributed.worker.http.routes": [],
    }
    if not place.dashboard:
        settings |= {
            "distributed.scheduler.http.routes": [],
            # Only the dashboard needs Dask's measurements of itself, several per second in each process.
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "1s",
            "distributed.admin.system-monitor.interval": "5s",
        }
    with (
        tempfile.TemporaryDirectory(prefix="unicorn-hf-") as scratch,
        dask.config.set(settings | {"temporary-directory": scratch}),
    ):
        options: dict[str, Any] = {
            "threads_per_worker": num_threads,
            "memory_limit": 0,
            "security": Security.temporary(),
            "dashboard_address": "127.0.0.1:0",
            # If Bokeh is installed, it takes a second to start.
            "scheduler_kwargs": {"dashboard": place.dashboard},
            "silence_logs": logging.CRITICAL,
            "local_directory": scratch,
        }
        if place.groups:
            from unicorn_hf.runtime.cuda import GroupedCUDACluster

            cluster = GroupedCUDACluster(place.groups, **options)
        else:
            cluster = LocalCluster(n_workers=num_workers, processes=True, **options)
        with cluster, _kept_up(cluster), Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def _kept_up(cluster: Any) -> Iterator[None]:
    """Replace workers whose nanny is gone.

    A nanny restarts its worker, but exits when the worker dies during start-up, or is missing at Dask's check some time
    after an earlier death (`lost-worker-timeout`). Dask does not replace the nanny: a build would wait for ever.
    """
    from distributed.core import Status
    from tornado.ioloop import PeriodicCallback

    number = len(cluster.worker_spec)

    def restore() -> None:
        for name, nanny in list(cluster.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del cluster.workers[name]
        # Starts the missing ones.
        cluster.scale(number)

    restoring = PeriodicCallback(restore, 1000 * _RESTORED_EVERY_S)
    cluster.loop.add_callback(restoring.start)
    try:
        yield
    finally:
        cluster.loop.add_callback(restoring.stop)


@contextmanager
def _joined(place: Place) -> Iterator[Any]:
    """Join the workers of an existing cluster, which may go on to other work afterwards."""
    from distributed import Client

    address = address_of(place.scheduler)
    check_security(address)
    try:
        client = Client(address, set_as_default=False, timeout=_ANSWER_S)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address}: {error}",
            "Check that it runs. If it uses TLS, its address begins with tls://, and Dask's configuration must name"
            f" certificates of the same authority on both sides. {SEE_CERTIFICATES}",
        ) from error
    with client:
        if place.num_workers or not client.nthreads():
            _await_workers(client, place)
        yield client


def _await_workers(client: Any, place: Place) -> None:
    try:
        client.wait_for_workers(place.num_workers or 1, timeout=_WORKERS_S)
    except TimeoutError as error:
        raise RunError(
            f"the scheduler {place.scheduler} has {len(client.nthreads())} of {place.num_workers or 1} workers"
            f" after {_WORKERS_S} s",
            "Start workers with `dask worker` or `dask cuda worker`, or check why they do not connect.",
        ) from error


@contextmanager
def _marked(folder: Path | None) -> Iterator[Path | None]:
    """Keep a file in the folder while the build runs, so that a worker can check that it sees the same folder."""
    if folder is None:
        yield None
        return
    marker = folder / f".workers-see-this-{uuid4().hex}"
    write_bytes(marker, b"")
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def _scheduler(kind: str, num_workers: int | None) -> Place:
    if "://" not in kind and not Path(kind).is_file():
        near = get_close_matches(kind.lower(), _KINDS, n=1)
        hint = f". Did you mean {near[0]}?" if near else ""
        raise InputError(
            # A mistyped address may hold a password.
            f"no cluster {'with this name' if '@' in kind else repr(kind)}{hint}",
            "Use auto, local, cuda, a scheduler's address like tls://10.0.0.1:8786, or the path of its file.",
        )
    address_of(kind)
    return Place(num_workers, scheduler=kind)
