"""Streams of Parquet that are not read to their end, and the end of the interpreter.

pyarrow reads a file of Python's with threads of its own. One of them may let go of the file when the interpreter is
already ending. Python (before 3.14) then ends that thread in the middle of a C++ destructor, and the process dies with
"terminate called without an active exception", exit code 134, after all of its work is done. It was seen with
`datasets` 5.2.0 and pyarrow 26.0.1, whoever wrote the file, and whether or not the iterator was closed; others report
it for earlier versions of both: https://github.com/apache/arrow/issues/45214.
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
    """Have the interpreter wait at its end, some hundredths of a second mostly, until no other thread is at work."""
    atexit.register(_wait_for_threads)


def _wait_for_threads() -> None:
    deadline = time.monotonic() + _LONGEST_S
    quiet = 0
    while quiet < _QUIET_POLLS and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        quiet = 0 if _is_any_at_work() else quiet + 1


def _is_any_at_work() -> bool:
    """Whether a thread beside this one runs, waits for a disk, or is in Python without being one of Python's.

    The last are pyarrow's that read a file which waits for the network. Running threads are seen on Linux alone.
    """
    known = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    if not known.issuperset(sys._current_frames()):
        return True
    own = str(threading.get_native_id())
    try:
        states = [(task / "stat").read_text().rpartition(") ")[2][:1] for task in _TASKS.iterdir() if task.name != own]
    except OSError:  # a thread has ended since, or there is no /proc
        return _TASKS.is_dir()
    return any(state in "RD" for state in states)
