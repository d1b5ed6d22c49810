"""The pool of a build's worker processes, and the jobs that they are given."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.launch import Place, connected
from unicorn_hf.runtime.steps import Job, Record
from unicorn_hf.runtime.workers import run_job

if TYPE_CHECKING:
    from unicorn_hf.runtime.worker_setup import Environment

_COUNT_EVERY_S = 2.0

RecordT = TypeVar("RecordT", bound=Record)
EventHandler = Callable[[dict[str, Any]], None]


class EnoughError(RunError):
    """Raised by who is told of a record: no further job is begun, and those that run are awaited."""


class WorkerPool(Protocol):
    """Runs jobs on worker processes."""

    def run(
        self, jobs: Sequence[Job[RecordT]], on_record: Callable[[RecordT], None], *, overlap: bool = False
    ) -> list[RecordT]:
        """The records of `jobs`, in their order. Jobs that were done before are found, not run.

        Args:
            jobs: what to do.
            on_record: called with each record, in whatever order they come.
            overlap: whether a worker has as many jobs in flight as the pool allows, for jobs that mostly wait for one
                engine that serves them all (see `workers.waiting`).

        Raises:
            EnoughError: from `on_record`, when the jobs that were running have ended.
            RunError: a job failed for a reason of the world, or took its worker down again and again.
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
) -> Iterator[WorkerPool]:
    """Worker processes; they start, or are joined, when there is a job to run.

    Args:
        place: where they run.
        environment: variables that are set before a worker imports an engine (thread counts, an engine's switches).
        on_event: called, in another thread, with what workers tell (`engine_built`, `rows`) and how many there are
            (`workers`).
        jobs_at_once: jobs in each worker where they overlap.
        folder: where jobs write; workers that others started must see it.
    """
    build = f"unicorn-hf-{uuid4().hex}"  # Others may use the same scheduler and workers.
    with ExitStack() as opened:

        def connect() -> Any:
            client = opened.enter_context(connected(place, build, environment, folder, jobs_at_once))
            client.subscribe_topic(build, lambda event: on_event(event[1]))
            return client

        yield _DaskPool(build, jobs_at_once, connect, on_event)


class _DaskPool:
    def __init__(self, build: str, jobs_at_once: int, connect: Callable[[], Any], on_event: EventHandler) -> None:
        self._build = build
        self._jobs_at_once = jobs_at_once
        self._on_event = on_event
        self._num_workers = 0
        self._connect = connect
        self._connected: Any = None

    @property
    def _client(self) -> Any:
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    def run(
        self, jobs: Sequence[Job[RecordT]], on_record: Callable[[RecordT], None], *, overlap: bool = False
    ) -> list[RecordT]:
        records: dict[int, RecordT] = {}
        todo: list[int] = []
        for position, job in enumerate(jobs):
            record = job.find()
            if record is None:
                todo.append(position)
            else:
                records[position] = record
                on_record(record)
        waiting = deque(todo)
        enough: EnoughError | None = None
        # Without work, no worker is started.
        for position, record in self._compute(jobs, waiting, self._jobs_at_once if overlap else 1) if todo else ():
            records[position] = record
            try:
                on_record(record)
            except EnoughError as error:
                enough = error
                waiting.clear()
        if enough:
            raise enough
        return [records[position] for position in range(len(jobs))]

    def _count(self) -> int:
        number = len(self._client.nthreads())
        if number != self._num_workers:
            self._num_workers = number
            self._on_event({"event": "workers", "workers": number, "dashboard": self._client.dashboard_link})
        return number

    def _compute(
        self, jobs: Sequence[Job[RecordT]], waiting: "deque[int]", at_once: int
    ) -> Iterator[tuple[int, RecordT]]:
        from distributed import KilledWorker, as_completed
        from distributed.comm import CommClosedError

        futures: dict[Any, int] = {}

        def submit(position: int) -> Any:
            # Priorities keep the order of partitions; impure, since a job's work is its files.
            future = self._client.submit(run_job, jobs[position], self._build, pure=False, priority=-position)
            futures[future] = position
            return future

        pending = as_completed(loop=self._client.loop)
        counted_at, wanted = -_COUNT_EVERY_S, 0
        try:
            while True:
                if time.monotonic() - counted_at > _COUNT_EVERY_S:
                    # Workers come and go. One job more than they do at once is there when one ends, and the scheduler
                    # never holds the whole plan.
                    counted_at, wanted = time.monotonic(), (at_once + 1) * max(1, self._count())
                while waiting and len(futures) < wanted:
                    pending.add(submit(waiting.popleft()))
                if not futures:
                    return
                future = next(pending)
                yield futures.pop(future), future.result()
        except KilledWorker as error:
            raise RunError(
                f"a worker process died again and again on the same partition: {error}",
                "Too little memory is the usual cause: fewer --workers, a smaller model or a smaller partition_rows.",
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise RunError(
                "the connection to the scheduler was lost", "All partitions that are done are kept: start again."
            ) from error
        finally:
            for future in futures:
                future.cancel()
