"""One build at a time in a work folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unicorn_hf.core.errors import RunError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, for this process; the lock ends with the process, however it ends.

    A folder that is still empty afterwards is taken away again.

    Raises:
        RunError: another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise RunError(f"the work folder {folder} cannot be made: {error.strerror}", "Another --work-dir.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another build is at work in {folder}", "Wait until it ends, or give this one a --work-dir of its own."
            ) from error
        yield
    finally:
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()
