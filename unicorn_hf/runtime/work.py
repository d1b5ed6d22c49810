"""What a job is handed to do its work with: the engine of its process, and the build that hears of it."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from unicorn_hf.runtime.machine import machine
from unicorn_hf.runtime.slot import Closeable, EngineSlot, EngineT
from unicorn_hf.runtime.stopwatch import Lap

log = logging.getLogger(__name__)

STUCK, ENDED_BADLY, NO_USAGE, ANSWERS = "stuck", "ended_badly", "no_usage", "answers"
_REPORT_EVERY_S = 1.0


class Listener(Protocol):
    """A Dask worker, which passes events on to the client."""

    def log_event(self, topic: str, msg: object) -> object: ...


@dataclass(frozen=True)
class Terms:
    """What a build says to its workers with each job."""

    build: str
    """Its name in this run, like no other's, and the topic of what workers tell about it."""
    timeout_s: float
    """A worker in which a job gets no further for so long is ended."""


@dataclass(eq=False)
class Work:
    """A job that runs. By itself, as `Work()`, it stands for a process of one's own that tells nobody."""

    label: str = "a partition"
    terms: Terms = field(default_factory=lambda: Terms(f"process {os.getpid()}", math.inf))
    slot: EngineSlot = field(default_factory=EngineSlot)
    lap: Lap | None = None
    """Its share of the process's time."""
    turn: "threading.Lock | None" = None
    """Held by the one job of the process that computes."""
    listener: Listener | None = None

    def __post_init__(self) -> None:
        self._rows = 0
        self._told_no_usage = False
        self._moved_at = self._reported_at = time.monotonic()

    def rows(self, number: int = 1) -> None:
        """So many rows more are done."""
        self._rows += number
        self.moving()
        if self.listener and self._moved_at - self._reported_at > _REPORT_EVERY_S:
            self.flush()

    def moving(self) -> None:
        """Say that the job gets on, where it has no row to tell of."""
        self._moved_at = time.monotonic()

    @property
    def is_stuck(self) -> bool:
        return time.monotonic() - self._moved_at > self.terms.timeout_s

    def seconds(self) -> float:
        """What it took so far."""
        return self.lap.seconds() if self.lap else 0.0

    @contextmanager
    def engine(self, key: str, make: Callable[[], EngineT], *, alone: bool = False) -> Iterator[EngineT]:
        """The process's engine of this key, built if need be; see `EngineSlot.using`."""

        def made() -> EngineT:
            started = time.monotonic()
            engine = make()
            seconds = round(time.monotonic() - started, 3)
            event = {"event": "engine_built", "engine": key, "pid": os.getpid(), "seconds": seconds}
            self.tell({**event, "machine": machine()})
            return engine

        with self.slot.using(self.terms.build, key, made, alone=alone, held_up=self.held_up) as engine:
            yield engine

    def discard(self, engine: Closeable) -> None:
        """See `EngineSlot.discard`."""
        self.slot.discard(engine)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """The job waits for others, or for an engine to start: it may take its time."""
        self._moved_at = math.inf
        try:
            yield
        finally:
            self.moving()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A job that waits for its engine lets another have its turn meanwhile.

        So a worker waits for many things and computes one at a time: nothing of a stage need bear two threads at once.
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
        """Rows that were done since the last report, to be told by who asks."""
        rows, self._rows, self._reported_at = self._rows, 0, time.monotonic()
        return rows

    def tell(self, event: dict[str, object]) -> None:
        """Tell the client."""
        if self.listener:
            self.listener.log_event(self.terms.build, event)

    def tell_bad_end(self, num_requests: int, why: str) -> None:
        """Requests of this job took a worker or an engine down; they are asked otherwise now."""
        log.info("%s: %d requests ended badly, and are asked otherwise: %s", self.label, num_requests, why)
        self.tell({"event": ENDED_BADLY, "partition": self.label, "requests": num_requests, "why": why})

    def tell_answers(self, *, found: int, asked: int) -> None:
        """How many answers of this job were found in store, and how many are asked for."""
        self.tell({"event": ANSWERS, "found": found, "asked": asked})

    def tell_no_usage(self) -> None:
        """The engine does not say how many tokens its answers took; once a job is enough."""
        if not self._told_no_usage:
            self._told_no_usage = True
            self.tell({"event": NO_USAGE})
