"""One build at a time in a work folder."""

import fcntl
import os
import platform
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil
from pydantic import BaseModel, ValidationError

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import storage

_ATTEMPTS = 100
_PRIVATE = 0o700
_OURS = re.compile(r".+-[0-9a-f]{16}|answers|(state|recipe|machines)\.json|log\.jsonl|\.workers-see-this-.+|\..+\.tmp")
"""What builds leave in a work folder: steps' folders, and files about the build as a whole."""
_LOCK = "lock-"
_BEAT_S = 20.0
_SILENT_S = 120.0
"""A holder that has not written its lock for so long is gone, or has lost its network for good."""
_WAIT = "Wait until it ends, or give this one a --work-dir of its own."


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, for this process; the lock ends with the process, however it ends.

    A local folder is closed to other users, unless it holds what no build made: see `is_open_to_others`. One that is
    still empty afterwards is taken away again.

    Raises:
        RunError: another process holds it, or it cannot be made; or, at the end, that another took it over.
    """
    if storage.is_remote(folder):
        with _exclusive_remote(folder):
            yield
        return
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
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
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
                _close_to_others(folder)
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise RunError(f"another build is at work in {folder}", _WAIT) from error
        except FileNotFoundError:
            pass
        os.close(handle)
    raise RunError(f"the work folder {folder} is taken away as soon as it is made", "Another --work-dir.")


def make_private(folder: Path) -> None:
    """Make a local folder that other users cannot look into, unless there is one of this name."""
    if not storage.is_remote(folder):
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)


def is_open_to_others(folder: Path) -> bool:
    """Whether other users of this machine may look into the folder, as far as its mode says."""
    return not storage.is_remote(folder) and bool(folder.stat().st_mode & ~_PRIVATE & 0o777)


def _close_to_others(folder: Path) -> None:
    """Of a folder that is there already: a version before this one may have made it, or the user for this build."""
    # A folder with other things in it has the mode that its owner wants.
    if is_open_to_others(folder) and all(_OURS.fullmatch(path.name) for path in folder.iterdir()):
        with suppress(OSError):
            folder.chmod(_PRIVATE)


class _Holder(BaseModel):
    """Who holds a remote folder: what its lock says."""

    machine: tuple[str, ...]
    """What a machine, since it was started, and a container on it have for themselves."""
    pid: int
    started: float
    """When the process was, by the kernel: another one may have its number later."""

    @classmethod
    def here(cls) -> "_Holder":
        return cls(machine=_machine(), pid=os.getpid(), started=psutil.Process().create_time())

    @property
    def is_gone(self) -> bool:
        """Known of a process of this machine alone."""
        if self.machine != _machine():
            return False
        try:
            return bool(psutil.Process(self.pid).create_time() != self.started)
        except psutil.NoSuchProcess:
            return True


@contextmanager
def _exclusive_remote(folder: Path) -> Iterator[None]:
    """Storage without locks has objects that are created once: the one of the highest number is the holder's.

    Its holder writes it anew as long as it lives. Who finds it silent, by the storage's own clock, or its process gone
    from this machine, creates the next number, which of several at once one alone can.
    """
    try:
        lock = _take(folder)
    except _errors() as error:
        raise RunError(
            f"{folder} cannot be reached or not be written: {error}", "Check the URL and the permissions."
        ) from error
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(lock, ended), name="lock", daemon=True)
    beats.start()
    try:
        yield
        if _is_lost(lock):
            raise RunError(
                f"another build took over {folder} while this one could not be heard",
                "What is there is whole: the same command goes on when the other one has ended.",
            )
    finally:
        ended.set()
        beats.join()
        with suppress(*_errors()):  # What is done is done; the lock grows old.
            lock.unlink(missing_ok=True)


def _take(folder: Path) -> Path:
    content = _Holder.here().model_dump_json().encode()
    for _ in range(_ATTEMPTS):
        newest = _newest(folder)
        if newest is not None:
            _check_gone(newest)
        number = int(newest.name.removeprefix(_LOCK)) + 1 if newest is not None else 1
        lock = folder / f"{_LOCK}{number:06d}"
        if storage.create(lock, content):
            for old in _locks(folder):
                if old < lock:
                    old.unlink(missing_ok=True)
            return lock
    raise RunError(f"others take {folder} again and again", _WAIT)


def _check_gone(lock: Path) -> None:
    """
    Raises:
        RunError: the holder may be alive.
    """
    try:
        holder = _Holder.model_validate_json(lock.read_bytes())
        silent_s = _now(lock.parent) - storage.modified(lock)
    except FileNotFoundError:  # It has just ended.
        return
    except ValidationError:
        holder, silent_s = None, _now(lock.parent) - storage.modified(lock)
    if silent_s > _SILENT_S or (holder and holder.is_gone):
        return
    who = f" on {holder.machine[0]} (process {holder.pid})" if holder else ""
    raise RunError(
        f"another build is at work in {lock.parent}{who}",
        f"{_WAIT} If it was killed, its place is free {max(_SILENT_S - silent_s, 0):.0f} s from now.",
    )


def _beat(lock: Path, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_S):
        with suppress(*_errors()):
            if _newest(lock.parent) == lock:
                storage.put(lock, _Holder.here().model_dump_json().encode())


def _locks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_LOCK}*"))


def _newest(folder: Path) -> Path | None:
    return max(_locks(folder), default=None)


def _is_lost(lock: Path) -> bool:
    with suppress(*_errors()):
        return _newest(lock.parent) not in (lock, None)
    return False


def _now(folder: Path) -> float:
    """By the clock of the storage."""
    probe = folder / f"clock-{uuid4().hex}"
    storage.put(probe, b"")
    try:
        return storage.modified(probe)
    finally:
        probe.unlink(missing_ok=True)


def _errors() -> tuple[type[Exception], ...]:
    return OSError, *storage.errors()


def _machine() -> tuple[str, ...]:
    facts = [platform.node()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return tuple(facts)
