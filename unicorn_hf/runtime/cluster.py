"""The pool of a build's worker processes, and how it schedules jobs on them."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.recipe import PARTITION_TIMEOUT_S
from unicorn_hf.runtime.gpus import GPU_SLOTS
from unicorn_hf.runtime.launch import Place, connected
from unicorn_hf.runtime.steps import PartitionJob, Record
from unicorn_hf.runtime.storage import is_remote
from unicorn_hf.runtime.work import ENDED_BADLY, Terms
from unicorn_hf.runtime.workers import run_job

if TYPE_CHECKING:
    from unicorn_hf.runtime.worker_setup import Environment

log = logging.getLogger(__name__)

_COUNT_EVERY_S = 2.0
_LOOKS_AT_ONCE = 32
_MOST_STARTS = 4
_MOST_DEATHS = 12
"""Deaths of workers on one job, in a row and with no other progress, after which the build fails."""
_TAIL = 8
"""Jobs per worker: when no more than these are left, a worker gets its next job only after it finished the last."""

RecordT = TypeVar("RecordT", bound=Record)
EventHandler = Callable[[dict[str, Any]], None]


class EnoughError(RunError):
    """Raised by `on_record` to stop: the pool starts no further job and awaits those that run."""


class WorkerPool(Protocol):
    """Runs jobs on worker processes."""

    def run(
        self, jobs: Sequence[PartitionJob[RecordT]], on_record: Callable[[RecordT], None], *, on_gpu: bool = False
    ) -> list[RecordT]:
        """Return the records of `jobs`, in their order. Jobs that were done before are found, not run.

        Args:
            on_record: called with each record, in any order.
            on_gpu: whether the jobs use a GPU: once any worker had one, only workers with a GPU get them.

        Raises:
            EnoughError: from `on_record`, after the running jobs have ended.
            RunError: a job failed for an external reason, or killed its worker repeatedly.
        """
        ...


@contextmanager
def open_pool(
    place: Place,
    environment: "Environment",
    on_event: EventHandler,
    *,
    jobs_at_once: int = 1,
    folder: Path | None = None,
    job_timeout_s: float = PARTITION_TIMEOUT_S,
    count: Callable[[Record], None] = lambda record: None,
) -> Iterator[WorkerPool]:
    """Open a pool of worker processes; they start, or are joined, when there is a job to run.

    Args:
        environment: variables that are set before a worker imports an engine (thread counts, an engine's switches).
        on_event: called in another thread with events of the workers (`engine_built`, `rows`), their number
            (`workers`), and the URL of Dask's dashboard (`dashboard`).
        jobs_at_once: jobs in flight per worker when jobs overlap.
        folder: where jobs write; workers of an existing cluster must see it.
        job_timeout_s: a worker is replaced when a job makes no progress for this long.
        count: called with each record, after `on_record`; it may raise `EnoughError` too.
    """
    # Others may use the same scheduler and workers.
    terms = Terms(f"unicorn-hf-{uuid4().hex}", job_timeout_s)
    with ExitStack() as opened:
        yield _DaskPool(opened, place, environment, on_event, jobs_at_once, folder, terms, count)


@dataclass
class _DaskPool:
    """See `open_pool`."""

    opened: ExitStack
    place: Place
    environment: "Environment"
    on_event: EventHandler
    jobs_at_once: int
    folder: Path | None
    terms: Terms
    count: Callable[[Record], None]
    num_workers: int = 0
    has_had_gpus: bool = False
    num_achieved: int = 0
    """Records received, and failed requests that are now sent in smaller parts: progress that no death undoes."""

    @cached_property
    def client(self) -> Any:
        """Start or join the workers."""
        import dask
        import distributed  # noqa: F401 - otherwise its default settings would go with ours

        # A worker process that hangs sends no more events: the scheduler has its nanny replace it.
        silent = {"distributed.scheduler.worker-ttl": f"{self.terms.timeout_s} s"}
        self.opened.enter_context(dask.config.set(silent))
        client = self._connected()
        client.subscribe_topic(self.terms.build, lambda event: self._told(event[1]))
        # A running scheduler has one, unless the configuration that it shares with this process disables its pages.
        if self.place.dashboard or (self.place.scheduler and dask.config.get("distributed.scheduler.http.routes")):
            self.on_event({"event": "dashboard", "link": client.dashboard_link})
        return client

    def _connected(self) -> Any:
        """A client. Dask gives up all workers when one dies during setup: retry."""
        num_starts = 0
        while True:
            num_starts += 1
            try:
                client = connected(self.place, self.terms.build, self.environment, self.folder, self.jobs_at_once)
                return self.opened.enter_context(client)
            except (OSError, RuntimeError) as error:  # Dask's own errors are of these kinds.
                log.debug("the workers failed to start", exc_info=error)
                if num_starts == _MOST_STARTS:
                    raise RunError(
                        f"the workers failed to start {num_starts} times; the last time:"
                        f" {type(error).__name__}: {error}",
                        "All finished work is kept.",
                    ) from error

    def _told(self, event: dict[str, Any]) -> None:
        if event["event"] == ENDED_BADLY:
            self.num_achieved += 1
        self.on_event(event)

    def run(
        self, jobs: Sequence[PartitionJob[RecordT]], on_record: Callable[[RecordT], None], *, on_gpu: bool = False
    ) -> list[RecordT]:
        records: dict[int, RecordT] = {}

        def take(position: int, record: RecordT) -> None:
            records[position] = record
            on_record(record)
            self.count(record)

        waiting: deque[int] = deque()
        for position, found in enumerate(self._found(jobs)):
            if found is None:
                waiting.append(position)
            else:
                take(position, found)
        enough: EnoughError | None = None
        # Without work, no worker is started.
        at_once = self.jobs_at_once if waiting and jobs[0].overlap else 1
        for position, record in self._compute(jobs, waiting, at_once, on_gpu) if waiting else ():
            try:
                take(position, record)
            except EnoughError as error:
                enough = error
                waiting.clear()
        if enough:
            raise enough
        return [records[position] for position in range(len(jobs))]

    def _found(self, jobs: Sequence[PartitionJob[RecordT]]) -> Iterator[RecordT | None]:
        if self.folder is None or not is_remote(self.folder):
            yield from (job.find() for job in jobs)
            return
        # Each look-up is a few requests: latency and no computing.
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as looks:
            yield from looks.map(lambda job: job.find(), jobs)

    def _suited(self, on_gpu: bool) -> tuple[int, dict[str, int]]:
        """The number of workers for such jobs, and the Dask resources that a job takes."""
        workers = self.client.scheduler_info()["workers"]
        if len(workers) != self.num_workers:
            self.num_workers = len(workers)
            self.on_event({"event": "workers", "workers": len(workers)})
        with_gpu = sum(GPU_SLOTS in worker["resources"] for worker in workers.values())
        # A lost GPU worker may come back: its jobs wait for it.
        self.has_had_gpus |= with_gpu > 0
        return (with_gpu, {GPU_SLOTS: 1}) if on_gpu and self.has_had_gpus else (len(workers), {})

    def _compute(
        self, jobs: Sequence[PartitionJob[RecordT]], waiting: "deque[int]", at_once: int, on_gpu: bool
    ) -> Iterator[tuple[int, RecordT]]:
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        futures: dict[Any, tuple[int, int]] = {}
        """Positions, and what had been achieved when the job was submitted."""
        ended: SimpleQueue[Any] = SimpleQueue()
        blame = _Blame(jobs)
        workers, takes = 0, dict[str, int]()

        def submit(position: int) -> None:
            # Priorities keep the order of partitions; impure, since a job's work is its files.
            future = self.client.submit(
                run_job, jobs[position], self.terms, pure=False, priority=blame.priority(position), resources=takes
            )
            futures[future] = position, self.num_achieved
            future.add_done_callback(ended.put)

        counted_at = -_COUNT_EVERY_S
        try:
            while True:
                if time.monotonic() - counted_at > _COUNT_EVERY_S:
                    counted_at = time.monotonic()  # Workers come and go.
                    workers, takes = self._suited(on_gpu)
                # Each worker has one job in reserve, ready when another ends. Not near the end: a job in reserve at
                # a slow worker could start elsewhere.
                while waiting and len(futures) < (at_once + (len(waiting) > _TAIL * workers)) * max(1, workers):
                    submit(waiting.popleft())
                if not futures:
                    return
                try:
                    future = ended.get(timeout=_COUNT_EVERY_S)
                except Empty:
                    continue
                position, num_achieved = futures.pop(future)
                try:
                    record, rows = future.result()
                except KilledWorker as error:
                    blame.died(position, error.allowed_failures + 1, in_a_row=self.num_achieved == num_achieved)
                    submit(position)
                    continue
                self.num_achieved += 1
                if rows:
                    self.on_event({"event": "rows", "rows": rows})
                yield position, record
        except (CancelledError, CommClosedError) as error:
            raise RunError(
                "the connection to the scheduler was lost",
                "Run the command again to resume: all finished partitions are kept.",
            ) from error
        finally:
            for future in futures:
                future.cancel()


class _Blame:
    """Decides which job to blame for the deaths of workers.

    Dask gives up a job after a few deaths of workers that held it, running or queued. In a long build workers may be
    killed at random: so a job is queued again, behind all others, as long as the build makes progress.
    """

    def __init__(self, jobs: Sequence[PartitionJob[Any]]) -> None:
        self._jobs = jobs
        self._num_deaths: Counter[int] = Counter()
        self._num_put_back: Counter[int] = Counter()

    def priority(self, position: int) -> int:
        return -(position + len(self._jobs) * self._num_put_back[position])

    def died(self, position: int, num_deaths: int, *, in_a_row: bool) -> None:
        """Count deaths; `in_a_row`: the build has made no progress since the job was submitted.

        Raises:
            RunError: this job is to blame.
        """
        if not in_a_row:
            self._num_deaths[position] = 0
            self._num_put_back[position] += 1
            return
        self._num_deaths[position] += num_deaths
        if self._num_deaths[position] >= _MOST_DEATHS:
            raise RunError(
                f"{self._num_deaths[position]} worker processes died in a row on the same partition:"
                f" {self._jobs[position].label}",
                "The usual cause is too little memory: use fewer --workers, a smaller model or a smaller"
                " partition_rows. All finished partitions are kept.",
            )
