"""The context of a running job: it lends the process's engine and reports progress to the build."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from unicorn_hf.runtime.machine import machine
from unicorn_hf.runtime.slot import EngineSlot, EngineT

log = logging.getLogger(__name__)

STUCK, ENDED_BADLY = "stuck", "ended_badly"
_REPORT_EVERY_S = 1.0


@dataclass(frozen=True)
class Terms:
    """Settings of a build that come with each job."""

    build: str
    """Unique name of this run of the build, and the topic of its workers' events."""
    timeout_s: float
    """A worker is killed when a job makes no progress for this long."""


@dataclass(eq=False)
class Work:
    """A running job. `Work()` without arguments serves a process that is no worker and reports to no client."""

    label: str = "a partition"
    terms: Terms = field(default_factory=lambda: Terms(f"process {os.getpid()}", math.inf))
    slot: EngineSlot = field(default_factory=EngineSlot)
    seconds: Callable[[], float] = field(default=lambda: 0.0)
    """The job's share of the process's time so far."""
    turn: "threading.Lock | None" = None
    """Held by the job of the process that computes at the moment."""
    listener: Any = None
    """A Dask worker, which passes events on to the client."""

    def __post_init__(self) -> None:
        self._rows = 0
        self._told_no_usage = False
        self._moved_at = self._reported_at = time.monotonic()

    def rows(self, number: int = 1) -> None:
        """Report that `number` more rows are done."""
        self._rows += number
        self.moving()
        if self.listener and self._moved_at - self._reported_at > _REPORT_EVERY_S:
            self.flush()

    def moving(self) -> None:
        """Report progress without a finished row."""
        self._moved_at = time.monotonic()

    @property
    def is_stuck(self) -> bool:
        return time.monotonic() - self._moved_at > self.terms.timeout_s

    @contextmanager
    def engine(self, key: str, make: Callable[[], EngineT], *, alone: bool = False) -> Iterator[EngineT]:
        """Yield the process's engine for this key, built if necessary; see `EngineSlot.using`."""

        def made() -> EngineT:
            started = time.monotonic()
            engine = make()
            seconds = round(time.monotonic() - started, 3)
            event = {"event": "engine_built", "engine": key, "pid": os.getpid(), "seconds": seconds}
            self.tell({**event, "machine": machine()})
            return engine

        with self.slot.using(self.terms.build, key, made, alone=alone, held_up=self.held_up) as engine:
            yield engine

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Suspend the timeout while the job waits for other jobs, or for an engine to start."""
        self._moved_at = math.inf
        try:
            yield
        finally:
            self.moving()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let another job compute while this one waits for its engine.

        So many jobs of a worker wait and one computes: the code of the stages need not be thread-safe.
        """
        if self.turn is None:
            yield
            return
        self.turn.release()
        try:
            yield
        finally:
            with self.held_up():
                self.turn.acquire()

    def flush(self) -> None:
        if rows := self.untold():
            self.tell({"event": "rows", "rows": rows})

    def untold(self) -> int:
        """Return and reset the number of rows done since the last report; the caller reports them."""
        rows, self._rows, self._reported_at = self._rows, 0, time.monotonic()
        return rows

    def tell(self, event: dict[str, object]) -> None:
        """Send an event to the client."""
        if self.listener:
            self.listener.log_event(self.terms.build, event)

    def tell_bad_end(self, num_requests: int, why: str) -> None:
        """Report that requests of this job crashed a worker or an engine; they are retried in smaller batches."""
        log.info("%s: %d requests failed and will be retried in smaller batches: %s", self.label, num_requests, why)
        self.tell({"event": ENDED_BADLY, "partition": self.label, "requests": num_requests, "why": why})

    def tell_no_usage(self) -> None:
        """Report, once per job, that the engine does not count the tokens of its answers."""
        if not self._told_no_usage:
            self._told_no_usage = True
            self.tell({"event": "no_usage"})
