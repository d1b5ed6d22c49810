"""Worker processes: started for a build, given jobs, shut down with it."""

import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.steps import Job, Record
from unicorn_hf.runtime.workers import TOPIC, run_job

log = logging.getLogger(__name__)

RecordT = TypeVar("RecordT", bound=Record)
EventHandler = Callable[[dict[str, Any]], None]


class WorkerPool(Protocol):
    """Runs jobs on worker processes."""

    num_workers: int

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
            RunError: a job failed for a reason of the world, or took its worker down again and again.
        """
        ...


@contextmanager
def open_pool(
    num_workers: int, environment: dict[str, str], on_event: EventHandler, *, jobs_at_once: int = 1
) -> Iterator[WorkerPool]:
    """Local worker processes; they start when there is a job to run.

    Args:
        num_workers: how many processes.
        environment: variables that are set before a worker's interpreter starts (thread counts, an engine's switches).
        on_event: called, in another thread, with what workers tell: `engine_built`, `rows`.
        jobs_at_once: jobs in each worker where they overlap.
    """
    with ExitStack() as opened:

        def connect() -> Any:
            return opened.enter_context(_client(num_workers, jobs_at_once, environment, on_event))

        yield _DaskPool(num_workers, jobs_at_once, connect)


@contextmanager
def _client(num_workers: int, jobs_at_once: int, environment: dict[str, str], on_event: EventHandler) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": environment,
        # An engine may have processes of its own, which a daemon may not.
        "distributed.worker.daemon": False,
    }
    with (
        tempfile.TemporaryDirectory(prefix="unicorn-hf-") as scratch,
        dask.config.set(settings | {"temporary-directory": scratch}),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=jobs_at_once,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(_worker_plugin())
        client.subscribe_topic(TOPIC, lambda event: on_event(event[1]))
        yield client


def _worker_plugin() -> Any:
    from distributed import WorkerPlugin

    class LeaveInterruptsToTheClient(WorkerPlugin):  # type: ignore[misc]
        """Ctrl-C in a terminal reaches all processes; the client alone answers it, and ends the workers."""

        def setup(self, worker: Any) -> None:
            # Set up in the main thread of the worker's process.
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return LeaveInterruptsToTheClient()


class _DaskPool:
    def __init__(self, num_workers: int, jobs_at_once: int, connect: Callable[[], Any]) -> None:
        self.num_workers = num_workers
        self._jobs_at_once = jobs_at_once
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
        for position, record in self._compute(jobs, todo, self._jobs_at_once if overlap else 1):
            records[position] = record
            on_record(record)
        return [records[position] for position in range(len(jobs))]

    def _compute(
        self, jobs: Sequence[Job[RecordT]], todo: Sequence[int], at_once: int
    ) -> Iterator[tuple[int, RecordT]]:
        from distributed import KilledWorker, as_completed

        waiting = iter(todo)
        futures: dict[Any, int] = {}

        def submit(position: int) -> Any:
            # Priorities keep the order of partitions; impure, since a job's work is its files.
            future = self._client.submit(run_job, jobs[position], pure=False, priority=-position)
            futures[future] = position
            return future

        # One job more than are done at once: it is there when one ends, and the scheduler never holds the whole plan.
        num_first = (at_once + 1) * self.num_workers
        first = [submit(position) for _, position in zip(range(num_first), waiting, strict=False)]
        pending = as_completed(first, loop=self._client.loop)
        try:
            for future in pending:
                yield futures.pop(future), future.result()
                for position in waiting:
                    pending.add(submit(position))
                    break
        except KilledWorker as error:
            raise RunError(
                f"a worker process died again and again on the same partition: {error}",
                "Too little memory is the usual cause: fewer --workers, a smaller model or a smaller partition_rows.",
            ) from error
        finally:
            for future in futures:
                future.cancel()


def cpu_count() -> int:
    return len(os.sched_getaffinity(0))
