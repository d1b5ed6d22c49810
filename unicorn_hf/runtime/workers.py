"""Inside a worker process: the one heavy object that it holds, and what it tells the client while it works."""

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.machine import machine
from unicorn_hf.runtime.steps import Job, Record
from unicorn_hf.runtime.stopwatch import job_lap

_REPORT_EVERY_S = 0.25
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Closeable(Protocol):
    def close(self) -> None: ...


ResidentT = TypeVar("ResidentT", bound=Closeable)
RecordT = TypeVar("RecordT", bound=Record)

_resident: tuple[str, Closeable] | None = None
_changing = threading.Condition()
_waiting: Counter[str] = Counter()
"""Jobs that wait for the engine, by their build."""
_turn = threading.Lock()
_mine = threading.local()
_refused = False


def resident(key: str, make: Callable[[], ResidentT]) -> ResidentT:
    """The worker's engine, built at its first use and kept between partitions.

    A worker holds one: asking for another key closes the one before, so that LLM and encoder never share the memory.
    It is awaited that nobody uses that one any more: two builds may share a worker. Threads that ask at once get the
    same one.
    """
    global _resident
    with _changing:
        if _resident and _resident[0] == key:
            return cast(ResidentT, _resident[1])
        _changing.wait_for(lambda: not _waiting.total())
        _close()
        started = time.monotonic()
        made = make()
        _resident = (key, made)
    seconds = round(time.monotonic() - started, 3)
    _tell({"event": "engine_built", "engine": key, "pid": os.getpid(), "seconds": seconds, "machine": machine()})
    return made


def let_go(build: str) -> None:
    """The build has ended: close the engine, if there is one that no other build uses."""
    with _changing:
        if not (_waiting - Counter({build: _waiting[build]})):
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


def run_job(job: Job[RecordT], build: str) -> RecordT:
    """Run a job in this worker process, telling the client how many rows are done, a few times a second at most.

    Jobs take turns: another one runs only while this one says that it is waiting.

    Args:
        job: what to do.
        build: whose it is, and the topic of what the worker tells about it.
    """
    if _refused:
        from distributed import Reschedule

        raise Reschedule
    reporter = _RowReporter()
    try:
        with _turn, job_lap():
            _mine.turn, _mine.build = True, build
            return job.run(reporter)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise RunError(
            f"cannot write {error.filename or 'a shard'}: {error.strerror}",
            "All partitions that are done are kept: make room, or mend the folder's rights, and start again.",
        ) from error
    finally:
        _mine.turn = False
        reporter.flush()


@contextmanager
def waiting() -> Iterator[None]:
    """A job that waits for its engine lets another have its turn meanwhile.

    So a worker waits for many things and computes one at a time: nothing of a stage need bear two threads at once.
    """
    if not getattr(_mine, "turn", False):  # Not in a worker's job, as in a test.
        yield
        return
    _count_waiting(_mine.build, 1)
    _turn.release()
    try:
        yield
    finally:
        _count_waiting(_mine.build, -1)
        _turn.acquire()


def _count_waiting(build: str, more: int) -> None:
    with _changing:
        _waiting[build] += more
        _changing.notify_all()


class _RowReporter:
    def __init__(self) -> None:
        self._rows = 0
        self._reported_at = time.monotonic()

    def __call__(self) -> None:
        self._rows += 1
        if time.monotonic() - self._reported_at > _REPORT_EVERY_S:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            _tell({"event": "rows", "rows": self._rows})
        self._rows = 0
        self._reported_at = time.monotonic()


def _tell(event: dict[str, object]) -> None:
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # Not in a Dask worker: a job run by itself, as in a test.
        return
    worker.log_event(_mine.build, event)
