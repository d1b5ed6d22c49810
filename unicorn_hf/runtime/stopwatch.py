"""Time shared by concurrent calls: a second spent on two calls counts half a second for each."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Divides elapsed time equally between the running laps; the shares add up to the time in which any lap ran."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[object, float] = {}
        """The share of each running lap, in seconds."""
        self._since = time.monotonic()

    @contextmanager
    def lap(self) -> Iterator[Callable[[], float]]:
        """Run a lap during the block; yield a function that returns its share so far, in seconds."""
        lap, ended_s = object(), 0.0

        def share_s() -> float:
            with self._lock:
                self._advance()
                return self._running.get(lap, ended_s)

        with self._lock:
            self._advance()
            self._running[lap] = 0.0
        try:
            yield share_s
        finally:
            with self._lock:
                self._advance()
                ended_s = self._running.pop(lap)

    def _advance(self) -> None:
        """Give the running laps the time since the last call."""
        now = time.monotonic()
        for lap in self._running:
            self._running[lap] += (now - self._since) / len(self._running)
        self._since = now
