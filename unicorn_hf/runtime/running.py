"""The jobs that run in this worker process: what they tell the client, and whether they still get anywhere."""

import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

STUCK, ENDED_BADLY, NO_USAGE, ANSWERS = "stuck", "ended_badly", "no_usage", "answers"
_REPORT_EVERY_S = 0.25
_LOOKS_A_LIMIT = 10
_LONGEST_LOOK_S = 15.0
_TOLD_WITHIN_S = 0.5

_mine = threading.local()
_all: set["Running"] = set()
_watch: threading.Thread | None = None


@dataclass(frozen=True)
class Terms:
    """What a build says to its workers with each job."""

    build: str
    """Its name in this run, like no other's, and the topic of what workers tell about it."""
    timeout_s: float
    """A worker in which a job gets no further for so long is ended."""


class Running:
    """A job that runs: what it tells of its rows, and when it got on last."""

    def __init__(self, label: str, terms: Terms) -> None:
        self.label = label
        self.terms = terms
        self._worker = _dask_worker()
        self._rows = 0
        self._told_no_usage = False
        self._moved_at = self._reported_at = time.monotonic()

    def on_row(self) -> None:
        self._rows += 1
        self.moved()
        if self._moved_at - self._reported_at > _REPORT_EVERY_S:
            self.flush()

    def moved(self) -> None:
        self._moved_at = time.monotonic()

    def hold(self) -> None:
        """It need not move until it does."""
        self._moved_at = math.inf

    @property
    def is_stuck(self) -> bool:
        return time.monotonic() - self._moved_at > self.terms.timeout_s

    def flush(self) -> None:
        if rows := self.untold():
            self.tell({"event": "rows", "rows": rows})

    def untold(self) -> int:
        """Rows that were done since the last report, to be told by who asks."""
        rows, self._rows, self._reported_at = self._rows, 0, time.monotonic()
        return rows

    def tell_no_usage(self) -> None:
        if not self._told_no_usage:
            self._told_no_usage = True
            self.tell({"event": NO_USAGE})

    def tell(self, event: dict[str, object]) -> None:
        if self._worker:
            self._worker.log_event(self.terms.build, event)


def here() -> Running | None:
    """The job of this thread; None outside of one, as in a test."""
    found: Running | None = getattr(_mine, "running", None)
    return found


@contextmanager
def running(label: str, terms: Terms) -> Iterator[Running]:
    """A job of this thread, from its beginning to its end."""
    job = _mine.running = Running(label, terms)
    _all.add(job)
    _watch_over(terms.timeout_s)
    try:
        yield job
    finally:
        _all.discard(job)
        _mine.running = None
        job.flush()


@contextmanager
def held_up() -> Iterator[None]:
    """The job waits for others, or for an engine to start: it may take its time."""
    job = here()
    if job is None:
        yield
        return
    job.hold()
    try:
        yield
    finally:
        job.moved()


def moving() -> None:
    """Say that the job gets on, where it has no row to tell of."""
    if job := here():
        job.moved()


def build_name() -> str:
    """Of the build that this thread's job belongs to; outside of one, the process's own."""
    job = here()
    return job.terms.build if job else f"process {os.getpid()}"


def tell(event: dict[str, object]) -> None:
    """Tell the client, if this thread has a job."""
    if job := here():
        job.tell(event)


def tell_bad_end(num_requests: int, why: str) -> None:
    """Requests of this job took a worker or an engine down; they are asked otherwise now."""
    label = job.label if (job := here()) else "a partition"
    log.info("%s: %d requests ended badly, and are asked otherwise: %s", label, num_requests, why)
    tell({"event": ENDED_BADLY, "partition": label, "requests": num_requests, "why": why})


def tell_answers(*, found: int, asked: int) -> None:
    """How many answers of this job were found in store, and how many are asked for."""
    tell({"event": ANSWERS, "found": found, "asked": asked})


def tell_no_usage() -> None:
    """The engine does not say how many tokens its answers took; once a job is enough."""
    if job := here():
        job.tell_no_usage()


def _watch_over(timeout_s: float) -> None:
    """Start this process's watch, unless there is one."""
    global _watch
    if _watch is None:
        every_s = min(timeout_s / _LOOKS_A_LIMIT, _LONGEST_LOOK_S)
        _watch = threading.Thread(target=_look, args=(every_s,), name="unicorn-hf-stuck", daemon=True)
        _watch.start()


def _look(every_s: float) -> None:
    """End this process when a job is stuck: a thread cannot be ended, and nobody knows what else it holds."""
    while not (stuck := [job for job in tuple(_all) if job.is_stuck]):
        time.sleep(every_s)
    for job in stuck:
        log.error("%s got no further in %g s: this worker ends", job.label, job.terms.timeout_s)
        job.tell({"event": STUCK, "partition": job.label, "seconds": job.terms.timeout_s})
    time.sleep(_TOLD_WITHIN_S)
    os._exit(1)


def _dask_worker() -> Any:
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
