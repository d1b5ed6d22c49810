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
_DEAD = ""
"""In place of the key of an engine that died."""


class EngineSlot:
    """Holds one engine at most, so that language model and encoder never share the memory; threads may share it."""

    def __init__(self) -> None:
        self.working = Stopwatch()
        """Of the engine: the partitions that it serves at once share its time."""
        self._held: tuple[str, Closeable] | None = None
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
        """The engine of a key, which nobody closes meanwhile: the one that is held, or a new one in its place.

        Another one is closed as soon as no job uses it: two builds may share a process. Threads that ask at once get
        the same one.

        Args:
            build: whose job uses it.
            key: what tells engines apart.
            make: builds the engine.
            alone: no other job uses it at the same time.
            held_up: entered while the job waits for its turn, and for the engine to be built.
        """
        with held_up(), self._changing:
            self._num_wanting_alone += alone
            try:
                # Who wants to be alone goes first: else it never would be.
                self._changing.wait_for(
                    lambda: self._using.total() == 0 if alone else self._num_wanting_alone == 0 and self._is_free(key)
                )
                found = self._get(key, make)
                self._using[build] += 1
            except BaseException:
                self._num_wanting_alone -= alone
                self._changing.notify_all()
                raise
        try:
            yield found
        finally:
            with self._changing:
                self._using[build] -= 1
                self._num_wanting_alone -= alone
                self._changing.notify_all()

    def discard(self, engine: Closeable) -> None:
        """This engine died: who asks for one next gets a new one, once nobody uses this one."""
        with self._changing:
            if self._held and self._held[1] is engine:
                self._held = (_DEAD, engine)

    def let_go(self, build: str) -> None:
        """The build has ended: close the engine, if there is one that no other build uses."""
        with self._changing:
            if not (self._using - Counter({build: self._using[build]})):
                self._close()

    def _is_free(self, key: str) -> bool:
        """Whether the engine of the key is held, or can be: whoever uses another one goes first."""
        return self._holds(key) or not self._using.total()

    def _holds(self, key: str) -> bool:
        return self._held is not None and self._held[0] == key

    def _get(self, key: str, make: Callable[[], EngineT]) -> EngineT:
        if self._held is None or not self._holds(key):
            self._close()
            self._held = (key, make())
        return cast(EngineT, self._held[1])

    def _close(self) -> None:
        """For who holds the lock."""
        if self._held:
            held, self._held = self._held[1], None
            held.close()
