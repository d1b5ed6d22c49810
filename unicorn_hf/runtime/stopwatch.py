"""Time shared by concurrent calls: a second spent on two calls counts half a second for each."""

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
        return self._stopwatch.seconds_of(self)


class Stopwatch:
    """Divides elapsed time equally between the running laps; the shares add up to the time in which any lap ran."""

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
        """Give the running laps the time since the last call."""
        now = time.monotonic()
        for lap in self._laps:
            lap.share_s += (now - self._since) / len(self._laps)
        self._since = now
