"""Inside a worker process: jobs that take turns, and a watchdog that kills the process when one is stuck."""

import logging
import os
import threading
import time
from typing import Any, TypeVar

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.slot import EngineSlot
from unicorn_hf.runtime.steps import PartitionJob, Record
from unicorn_hf.runtime.stopwatch import Stopwatch
from unicorn_hf.runtime.work import STUCK, Terms, Work

log = logging.getLogger(__name__)

RecordT = TypeVar("RecordT", bound=Record)
_LOOKS_A_LIMIT = 10
_LONGEST_LOOK_S = 15.0
_TOLD_WITHIN_S = 0.5


class Worker:
    """The state of this worker process."""

    def __init__(self) -> None:
        self.slot = EngineSlot()
        self.refuses = False
        """Whether the worker was rejected by the build, and runs no jobs."""
        self._turn = threading.Lock()
        self._stopwatch = Stopwatch()
        self._running: set[Work] = set()
        self._watch: threading.Thread | None = None

    def run(self, job: PartitionJob[RecordT], terms: Terms) -> tuple[RecordT, int]:
        """See `run_job`."""
        with self._turn, self._stopwatch.lap() as seconds, disk_errors():
            work = Work(job.label, terms, self.slot, seconds, self._turn, _dask_worker())
            self._running.add(work)
            self._watch_over(terms.timeout_s)
            try:
                return job.run(work), work.untold()
            except MemoryError as error:
                advice = "Use fewer --workers, or a smaller partition_rows."
                raise RunError(f"out of memory in {job.label}", advice) from error
            finally:
                self._running.discard(work)
                work.flush()

    def _watch_over(self, timeout_s: float) -> None:
        """Start the watchdog, unless it runs."""
        if self._watch is None:
            every_s = min(timeout_s / _LOOKS_A_LIMIT, _LONGEST_LOOK_S)
            self._watch = threading.Thread(target=self._look, args=(every_s,), name="unicorn-hf-stuck", daemon=True)
            self._watch.start()

    def _look(self, every_s: float) -> None:
        """Kill this process when a job is stuck: a thread cannot be killed, and may hold locks."""
        while not (stuck := [work for work in tuple(self._running) if work.is_stuck]):
            time.sleep(every_s)
        for work in stuck:
            log.error("%s made no progress for %g s: the worker exits", work.label, work.terms.timeout_s)
            work.tell({"event": STUCK, "partition": work.label, "seconds": work.terms.timeout_s})
        time.sleep(_TOLD_WITHIN_S)
        os._exit(1)


WORKER = Worker()


def run_job(job: PartitionJob[RecordT], terms: Terms) -> tuple[RecordT, int]:
    """Run a job in this worker process, and report finished rows to the client at most once a second.

    Return its record, and the number of rows not yet reported: an event for each short job would cost more than all
    other overhead.

    Jobs take turns: another one computes only inside this one's `Work.waiting`.
    """
    if WORKER.refuses:
        from distributed import Reschedule

        raise Reschedule
    return WORKER.run(job, terms)


def _dask_worker() -> Any:
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
