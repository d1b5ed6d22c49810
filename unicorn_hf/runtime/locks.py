"""One build at a time in a work folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unicorn_hf.core.errors import RunError

_ATTEMPTS = 100


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, for this process; the lock ends with the process, however it ends.

    A folder that is still empty afterwards is taken away again.

    Raises:
        RunError: another process holds it, or it cannot be made.
    """
    handle = _hold(folder)
    try:
        yield
    finally:
        # Before the lock goes: whoever holds it next must not lose the folder.
        with suppress(OSError):
            folder.rmdir()
        os.close(handle)


def _hold(folder: Path) -> int:
    for _ in range(_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # Taken away just now by the one who held it.
            continue
        except OSError as error:
            raise RunError(
                f"the work folder {folder} cannot be made: {error.strerror}", "Another --work-dir."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise RunError(
                f"another build is at work in {folder}", "Wait until it ends, or give this one a --work-dir of its own."
            ) from error
        except FileNotFoundError:
            pass
        os.close(handle)
    raise RunError(f"the work folder {folder} is taken away as soon as it is made", "Another --work-dir.")
