"""Time that several share: a second that is spent on two calls at once is half a second of each."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Lap:
    """One call's share of the time."""

    def __init__(self, stopwatch: "Stopwatch") -> None:
        self._stopwatch = stopwatch
        self.share_s = 0.0

    def seconds(self) -> float:
        """Its share so far."""
        return self._stopwatch.seconds_of(self)


class Stopwatch:
    """Divides the time in which any lap runs between the laps that run; their sum is the time in which one ran."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._laps: set[Lap] = set()
        self._since = time.monotonic()

    @contextmanager
    def lap(self) -> Iterator[Lap]:
        lap = Lap(self)
        with self._lock:
            self._advance()
            self._laps.add(lap)
        try:
            yield lap
        finally:
            with self._lock:
                self._advance()
                self._laps.discard(lap)

    def seconds_of(self, lap: Lap) -> float:
        with self._lock:
            self._advance()
            return lap.share_s

    def _advance(self) -> None:
        """Give the laps that run what has passed since the last time."""
        now = time.monotonic()
        for lap in self._laps:
            lap.share_s += (now - self._since) / len(self._laps)
        self._since = now
