"""Inside a worker process: the jobs that take turns there, and the watch that ends it when one of them is stuck."""

import logging
import os
import threading
import time
from typing import Any, TypeVar

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.slot import EngineSlot
from unicorn_hf.runtime.steps import Job, Record
from unicorn_hf.runtime.stopwatch import Stopwatch
from unicorn_hf.runtime.work import STUCK, Terms, Work

log = logging.getLogger(__name__)

RecordT = TypeVar("RecordT", bound=Record)
_LOOKS_A_LIMIT = 10
_LONGEST_LOOK_S = 15.0
_TOLD_WITHIN_S = 0.5


class Worker:
    """This process, as a worker."""

    def __init__(self) -> None:
        self.slot = EngineSlot()
        self.refuses = False
        """Whether it is not one of the build's, and runs nothing from now on."""
        self._turn = threading.Lock()
        self._stopwatch = Stopwatch()
        self._running: set[Work] = set()
        self._watch: threading.Thread | None = None

    def run(self, job: Job[RecordT], terms: Terms) -> tuple[RecordT, int]:
        """See `run_job`."""
        with self._turn, self._stopwatch.lap() as lap, disk_errors():
            work = Work(job.label, terms, self.slot, lap, self._turn, _dask_worker())
            self._running.add(work)
            self._watch_over(terms.timeout_s)
            try:
                return job.run(work), work.untold()
            finally:
                self._running.discard(work)
                work.flush()

    def _watch_over(self, timeout_s: float) -> None:
        """Start the watch, unless there is one."""
        if self._watch is None:
            every_s = min(timeout_s / _LOOKS_A_LIMIT, _LONGEST_LOOK_S)
            self._watch = threading.Thread(target=self._look, args=(every_s,), name="unicorn-hf-stuck", daemon=True)
            self._watch.start()

    def _look(self, every_s: float) -> None:
        """End this process when a job is stuck: a thread cannot be ended, and nobody knows what else it holds."""
        while not (stuck := [work for work in tuple(self._running) if work.is_stuck]):
            time.sleep(every_s)
        for work in stuck:
            log.error("%s got no further in %g s: this worker ends", work.label, work.terms.timeout_s)
            work.tell({"event": STUCK, "partition": work.label, "seconds": work.terms.timeout_s})
        time.sleep(_TOLD_WITHIN_S)
        os._exit(1)


_worker = Worker()


def run_job(job: Job[RecordT], terms: Terms) -> tuple[RecordT, int]:
    """Run a job in this worker process, telling the client how many rows are done, a few times a second at most.

    Returns its record, and the rows that the client was not told of yet: an event for each short job would take more
    time than all else around it.

    Jobs take turns: another one runs only while this one says that it is waiting.
    """
    if _worker.refuses:
        from distributed import Reschedule

        raise Reschedule
    try:
        return _worker.run(job, terms)
    except MemoryError as error:
        raise RunError(
            f"there is not enough memory for {job.label}", "Fewer --workers, or a smaller partition_rows."
        ) from error


def refuse() -> None:
    """Run nothing from now on: this process is not one of the build's."""
    _worker.refuses = True


def let_go(build: str) -> None:
    """The build has ended: close the engine, if there is one that no other build uses."""
    _worker.slot.let_go(build)


def _dask_worker() -> Any:
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
