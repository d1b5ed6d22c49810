"""Where the worker processes of a build run: here, here on GPUs, or on a cluster that somebody started."""

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
"""Until the first workers are there: a queue may have to give them their turn."""


@dataclass(frozen=True)
class Place:
    """What a build's workers run on, as far as it is known before they do."""

    num_workers: int | None = None
    """None where others start them, and they come and go."""
    groups: tuple[Group, ...] = ()
    """GPUs of each worker, where they have some."""
    scheduler: str = ""
    """Address or file of a scheduler that runs already."""
    dashboard: bool = False
    """Whether a cluster that is started here shows Dask's page about itself."""

    @property
    def has_dashboard(self) -> bool:
        """A scheduler that runs already has one, unless its owner switched it off."""
        return self.dashboard or bool(self.scheduler)

    @property
    def warning(self) -> str:
        """What is unsafe about it; empty where nothing is."""
        if not self.scheduler or is_closed(address := address_of(self.scheduler)):
            return ""
        return (
            f"the scheduler {address} is open to its network: whoever reaches it, or can pose as it, can run code as"
            " you. Start it with TLS and give its tls:// address (see docs/clusters.md), or keep others off the network"
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
    """Where a recipe's `cluster.kind` has the workers run.

    Args:
        kind: `auto`, `local`, `cuda`, the address of a scheduler, or the path of its file.
        num_workers: as many as the user asks for.
        on_cpu: as many as suit a build on this machine's processor.
        uses_gpu: whether engine or encoder have a use for one.
        gpus_per_worker: GPUs that one engine takes.
        dashboard: whether a cluster that is started here shows Dask's page about itself.

    Raises:
        InputError: there are not as many GPUs, or dask-cuda or Bokeh is not installed, or the scheduler's file is not
            there, or its address holds credentials.
    """
    if kind not in _KINDS:
        return _scheduler(kind, num_workers)
    if dashboard and find_spec("bokeh") is None:
        raise InputError(
            "Dask's dashboard takes Bokeh, which is not installed",
            "pip install 'unicorn-hf[report]', or leave --dashboard away.",
        )
    gpus = visible_gpus() if kind == "cuda" or (kind == "auto" and uses_gpu) else []
    if kind == "cuda" or gpus:
        _check_dask_cuda()
        groups = grouped(gpus, gpus_per_worker)
        if (num_workers or 1) > len(groups):
            raise InputError(
                f"{num_workers} workers with {gpus_per_worker} GPU each: {len(gpus)} GPUs can be seen here",
                f"At most --workers {len(groups)}.",
            )
        groups = groups[:num_workers]
        return Place(len(groups), tuple(groups), dashboard=dashboard)
    return Place(num_workers or on_cpu, dashboard=dashboard)


def count_workers(place: Place) -> int:
    """How many workers a build has: those that were asked for, or that its scheduler has now; at least 1."""
    if place.num_workers:
        return place.num_workers
    from distributed import Client

    try:
        with Client(address_of(place.scheduler), set_as_default=False, timeout=_ANSWER_S) as client:
            return max(1, len(client.nthreads()))
    except (OSError, ValueError):
        return 1  # Whoever needs the workers will say why there are none.


@contextmanager
def connected(
    place: Place, build: str, environment: "Environment", folder: Path | None, num_threads: int
) -> Iterator[Any]:
    """A Dask client whose workers are set up to run jobs.

    Args:
        place: where they run.
        build: what it is called among the builds that share the workers.
        environment: set in a worker before it imports an engine.
        folder: where shards are written, which each worker must see; None where all are on this machine.
        num_threads: jobs that a worker has in flight, in a cluster that is started here.

    Raises:
        InputError: no scheduler answers, or a worker has other versions or does not see the folder.
    """
    from unicorn_hf.runtime.worker_setup import SetUp, check, versions

    cluster = _joined(place) if place.scheduler else _started(place, environment, num_threads)
    with cluster as client, _marked(folder) as marker:
        mine = versions()
        if place.scheduler:
            client.run(check, mine, marker)
        setup = SetUp(build, mine, marker, environment if place.scheduler else None)
        client.register_plugin(setup, name=build)
        try:
            yield client
        finally:
            if place.scheduler:
                _leave(client, build)


@contextmanager
def _started(place: Place, environment: "Environment", num_threads: int) -> Iterator[Any]:
    """Workers of our own, which end with the build and let nobody else in.

    Dask runs whatever code it is sent. So scheduler, nannies and workers talk TLS and ask each peer for the certificate
    of this run, which exists only in the memory of these processes (decision 23).
    """
    import dask
    from distributed import Client, LocalCluster, Security

    num_workers = place.num_workers or 1
    settings = {
        # Before a worker's interpreter starts: numbers of threads are read once.
        "distributed.nanny.pre-spawn-environ": dict(environment(max(1, cpu_count() // num_workers))),
        # An engine may have processes of its own, which a daemon may not.
        "distributed.worker.daemon": False,
        # A worker may be long in starting again, on a machine that has much to do.
        "distributed.deploy.lost-worker-timeout": "60s",
        # Each process has an HTTP server, which tells anybody of this machine about jobs: it has no pages.
        "distributed.worker.http.routes": [],
    }
    if not place.dashboard:
        settings |= {"distributed.scheduler.http.routes": []}
        # What Dask measures of itself, many times a second in each process, is for the dashboard alone.
        settings |= {
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "1s",
            "distributed.admin.system-monitor.interval": "5s",
        }
    options: dict[str, Any] = {
        "threads_per_worker": num_threads,
        "memory_limit": 0,
        "security": Security.temporary(),
        "dashboard_address": "127.0.0.1:0",
        # Where Bokeh is installed, it takes a second to start.
        "scheduler_kwargs": {"dashboard": place.dashboard},
        "silence_logs": logging.CRITICAL,
    }
    with (
        tempfile.TemporaryDirectory(prefix="unicorn-hf-") as scratch,
        dask.config.set(settings | {"temporary-directory": scratch}),
    ):
        options["local_directory"] = scratch
        if place.groups:
            from unicorn_hf.runtime.cuda import GroupedCUDACluster

            cluster = GroupedCUDACluster(place.groups, **options)
        else:
            cluster = LocalCluster(n_workers=num_workers, processes=True, **options)
        with cluster, _kept_up(cluster), Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def _kept_up(cluster: Any) -> Iterator[None]:
    """Workers that have lost their nanny too get another one.

    Nannies restart their workers, but end where a worker dies while it starts, or is missing just when Dask looks, some
    time after an earlier death (`lost-worker-timeout`). Nobody else starts another: a build would wait for ever.
    """
    from distributed.core import Status
    from tornado.ioloop import PeriodicCallback

    number = len(cluster.worker_spec)

    def restore() -> None:
        for name, nanny in list(cluster.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del cluster.workers[name]
        # Starts those that are not there.
        cluster.scale(number)

    restoring = PeriodicCallback(restore, 1000 * _RESTORED_EVERY_S)
    cluster.loop.add_callback(restoring.start)
    try:
        yield
    finally:
        cluster.loop.add_callback(restoring.stop)


@contextmanager
def _joined(place: Place) -> Iterator[Any]:
    """Workers that others started, and may use for something else afterwards."""
    from distributed import Client

    address = address_of(place.scheduler)
    check_security(address)
    try:
        client = Client(address, set_as_default=False, timeout=_ANSWER_S)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address}: {error}",
            "See that it runs, and whether it uses TLS: then its address begins with tls://, and Dask's configuration"
            f" names certificates of the same authority here and there. {SEE_CERTIFICATES}",
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
            "Start workers with `dask worker` or `dask cuda worker`, or see why they do not come.",
        ) from error


def _leave(client: Any, build: str) -> None:
    # The scheduler may be gone, and then the workers are.
    with suppress(OSError, ValueError, TimeoutError):
        client.unregister_worker_plugin(build)


@contextmanager
def _marked(folder: Path | None) -> Iterator[Path | None]:
    """A file in the folder while the build runs, by which a worker knows that it is the same folder."""
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
            # What is meant as an address may hold a password.
            f"no cluster {'with this name' if '@' in kind else repr(kind)}{hint}",
            "auto, local, cuda, a scheduler's address like tls://10.0.0.1:8786, or the path of its file.",
        )
    address_of(kind)
    return Place(num_workers, scheduler=kind)


def _check_dask_cuda() -> None:
    if find_spec("dask_cuda") is None:
        raise InputError(
            "GPUs are there, but dask-cuda is not installed", "pip install 'unicorn-hf[gpu]', or --cluster local."
        )
