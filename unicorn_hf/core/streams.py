"""Avoids a crash at the end of the interpreter after a Parquet stream was not read to its end.

pyarrow reads a Python file in its own threads. One of them can release the file while the interpreter ends. Python
(before 3.14) then ends that thread inside a C++ destructor, and the process aborts with "terminate called without an
active exception", exit code 134, after all work is done. Seen with `datasets` 5.2.0 and pyarrow 26.0.1, for files of
any writer, and with closed iterators too; reported for earlier versions of both:
https://github.com/apache/arrow/issues/45214.
"""

import atexit
import sys
import threading
import time
from functools import cache
from pathlib import Path

_TASKS = Path("/proc/self/task")
_POLL_S = 0.01
_QUIET_POLLS = 5
_LONGEST_S = 10.0


@cache
def end_quietly() -> None:
    """Make the interpreter wait at its end, usually some hundredths of a second, until no other thread is busy."""
    atexit.register(_wait_for_threads)


def _wait_for_threads() -> None:
    deadline = time.monotonic() + _LONGEST_S
    quiet = 0
    while quiet < _QUIET_POLLS and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        quiet = 0 if _is_any_at_work() else quiet + 1


def _is_any_at_work() -> bool:
    """Whether another thread runs, waits for a disk, or is a foreign thread inside Python.

    The last are pyarrow's threads that wait for the network. Running threads are detected on Linux only.
    """
    known = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    if not known.issuperset(sys._current_frames()):
        return True
    own = str(threading.get_native_id())
    try:
        states = [(task / "stat").read_text().rpartition(") ")[2][:1] for task in _TASKS.iterdir() if task.name != own]
    except OSError:  # A thread ended meanwhile, or there is no /proc.
        return _TASKS.is_dir()
    return any(state in "RD" for state in states)
