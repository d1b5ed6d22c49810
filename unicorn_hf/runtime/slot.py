"""The one heavy object that a process holds: a language model or an encoder."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar, cast

from unicorn_hf.runtime.stopwatch import Stopwatch


class Closeable(Protocol):
    def close(self) -> None: ...


EngineT = TypeVar("EngineT", bound=Closeable)


class EngineSlot:
    """Holds at most one engine, so that language model and encoder are never in memory together. Thread-safe."""

    def __init__(self) -> None:
        self.working = Stopwatch()
        """The engine's time, shared by the partitions that it serves at once."""
        self._engine: Closeable | None = None
        self._key: str | None = None
        """The key of the engine; None also if it died."""
        self._changing = threading.Condition()
        self._using: Counter[str] = Counter()
        """Jobs that use the engine, by their build."""
        self._num_wanting_alone = 0

    @contextmanager
    def using(
        self,
        build: str,
        key: str,
        make: Callable[[], EngineT],
        *,
        alone: bool = False,
        held_up: Callable[[], AbstractContextManager[None]],
    ) -> Iterator[EngineT]:
        """Yield the engine for a key, the held one or a new one, and keep it open meanwhile.

        An engine for another key is closed as soon as no job uses it: two builds may share a process. Concurrent calls
        with the same key get the same engine.

        Args:
            build: the build of the job.
            alone: whether no other job may use the engine at the same time.
            held_up: entered while the job waits for its turn, and while the engine is built.
        """
        with held_up(), self._changing:
            self._num_wanting_alone += alone
            try:
                # A job that wants the engine alone goes first: otherwise it would starve.
                self._changing.wait_for(lambda: self._may_use(key, alone))
                if self._key != key:
                    self._close()
                    self._engine, self._key = make(), key
                engine = cast(EngineT, self._engine)
                self._using[build] += 1
            except BaseException:
                self._num_wanting_alone -= alone
                self._changing.notify_all()
                raise
        try:
            yield engine
        finally:
            with self._changing:
                self._using[build] -= 1
                self._num_wanting_alone -= alone
                self._changing.notify_all()

    def discard(self, engine: Closeable) -> None:
        """Mark a dead engine: the next call gets a new one, once no job uses this one."""
        with self._changing:
            if self._engine is engine:
                self._key = None

    def let_go(self, build: str) -> None:
        """Close the engine at the end of a build, unless another build uses it."""
        with self._changing:
            if not (self._using - Counter({build: self._using[build]})):
                self._close()

    def _may_use(self, key: str, alone: bool) -> bool:
        if alone:
            return not self._using.total()
        return not self._num_wanting_alone and (self._key == key or not self._using.total())

    def _close(self) -> None:
        """The caller holds the lock."""
        engine, self._engine, self._key = self._engine, None, None
        if engine:
            engine.close()
