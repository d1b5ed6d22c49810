"""Inside a worker process: the one heavy object that it holds, and the jobs that take turns there."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.machine import machine
from unicorn_hf.runtime.running import Terms, build_name, held_up, here, running, tell
from unicorn_hf.runtime.steps import Job, Record
from unicorn_hf.runtime.stopwatch import job_lap


class Closeable(Protocol):
    def close(self) -> None: ...


ResidentT = TypeVar("ResidentT", bound=Closeable)
RecordT = TypeVar("RecordT", bound=Record)

_resident: tuple[str, Closeable] | None = None
_DEAD = ""
"""In place of the key of an engine that died."""
_changing = threading.Condition()
_using: Counter[str] = Counter()
"""Jobs that use the engine, by their build."""
_num_wanting_alone = 0
_turn = threading.Lock()
_refused = False


@contextmanager
def using(engine: Callable[[], ResidentT], *, alone: bool = False) -> Iterator[ResidentT]:
    """The engine that `engine` gives, which is mostly that of `resident`, and which nobody closes meanwhile.

    Args:
        engine: called when it is this job's turn to use it.
        alone: no other job uses it at the same time.
    """
    global _num_wanting_alone
    build = build_name()
    with held_up(), _changing:
        _num_wanting_alone += alone
        try:
            # Who wants to be alone goes first: else it never would be.
            _changing.wait_for(lambda: _using.total() == 0 if alone else _num_wanting_alone == 0)
            found = engine()
            _using[build] += 1
        except BaseException:
            _num_wanting_alone -= alone
            _changing.notify_all()
            raise
    try:
        yield found
    finally:
        with _changing:
            _using[build] -= 1
            _num_wanting_alone -= alone
            _changing.notify_all()


def resident(key: str, make: Callable[[], ResidentT]) -> ResidentT:
    """The worker's engine, built at its first use and kept between partitions.

    A worker holds one: asking for another key closes the one before, so that LLM and encoder never share the memory.
    It is awaited that nobody uses that one any more: two builds may share a worker. Threads that ask at once get the
    same one.
    """
    global _resident
    with _changing:
        _changing.wait_for(lambda: _is_resident(key) or not _using.total())
        if _resident and _is_resident(key):
            return cast(ResidentT, _resident[1])
        _close()
        started = time.monotonic()
        made = make()
        _resident = (key, made)
    seconds = round(time.monotonic() - started, 3)
    tell({"event": "engine_built", "engine": key, "pid": os.getpid(), "seconds": seconds, "machine": machine()})
    return made


def _is_resident(key: str) -> bool:
    return _resident is not None and _resident[0] == key


def discard(engine: Closeable) -> None:
    """This engine died: who asks for one next gets a new one, once nobody uses this one."""
    global _resident
    with _changing:
        if _resident and _resident[1] is engine:
            _resident = (_DEAD, engine)


def let_go(build: str) -> None:
    """The build has ended: close the engine, if there is one that no other build uses."""
    with _changing:
        if not (_using - Counter({build: _using[build]})):
            _close()


def _close() -> None:
    """For who holds the lock."""
    global _resident
    if _resident:
        _resident[1].close()
        _resident = None


def refuse() -> None:
    """Run nothing from now on: this process is not one of the build's."""
    global _refused
    _refused = True


def run_job(job: Job[RecordT], terms: Terms) -> tuple[RecordT, int]:
    """Run a job in this worker process, telling the client how many rows are done, a few times a second at most.

    Returns its record, and the rows that the client was not told of yet: an event for each short job would take more
    time than all else around it.

    Jobs take turns: another one runs only while this one says that it is waiting.
    """
    if _refused:
        from distributed import Reschedule

        raise Reschedule
    try:
        with _turn, running(job.label, terms) as told, job_lap(), disk_errors():
            return job.run(told.on_row), told.untold()
    except MemoryError as error:
        raise RunError(
            f"there is not enough memory for {job.label}", "Fewer --workers, or a smaller partition_rows."
        ) from error


@contextmanager
def waiting() -> Iterator[None]:
    """A job that waits for its engine lets another have its turn meanwhile.

    So a worker waits for many things and computes one at a time: nothing of a stage need bear two threads at once.
    """
    if here() is None:  # Not in a worker's job, as in a test.
        yield
        return
    _turn.release()
    try:
        yield
    finally:
        with held_up():
            _turn.acquire()
