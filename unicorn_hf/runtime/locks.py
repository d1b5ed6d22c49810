"""One build at a time in a work folder."""

import fcntl
import logging
import os
import platform
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil
from pydantic import BaseModel, ValidationError

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import storage

log = logging.getLogger(__name__)

_ATTEMPTS = 100
_PRIVATE = 0o700
_OURS = re.compile(
    r".+-[0-9a-f]{16}|answers|batches|(state|recipe|machines)\.json|log\.jsonl|\.workers-see-this-.+|\..+\.tmp"
)
"""Names that builds create in a work folder: the folders of steps, and files about the build as a whole."""
_LOCK = "lock-"
_NAMED = re.compile(rf"{_LOCK}\d{{6,12}}(?:-[0-9a-f]+)?")
_LOOKS = 10
_LOOK_S = 0.5
_BEAT_S = 20.0
_SILENT_S = 120.0
"""A holder that has not renewed its lock for this long is gone, or cut off from the network."""
_LATE_S = 30.0
"""After this long, it is probably gone: another process waits until it is."""
_WAIT = "Wait until it ends, or use another --work-dir."


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process, and create it if it is missing; the lock ends with the process in any case.

    A local folder becomes private, unless it holds files that no build made: see `is_open_to_others`. It is removed if
    it is still empty at the end.

    Raises:
        RunError: another process holds the folder, it cannot be created, or another process took it over meanwhile.
    """
    if storage.is_remote(folder):
        with _exclusive_remote(folder):
            yield
        return
    handle = _hold(folder)
    try:
        yield
    finally:
        # Before the release: the next holder must not lose the folder.
        with suppress(OSError):
            folder.rmdir()
        os.close(handle)


def _hold(folder: Path) -> int:
    for _ in range(_ATTEMPTS):
        try:
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # The last holder has just removed it.
            continue
        except OSError as error:
            raise RunError(
                f"cannot create the work folder {folder}: {error.strerror}", "Use another --work-dir."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.stat().st_ino == os.fstat(handle).st_ino:
                _close_to_others(folder)
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise RunError(f"another build is running in {folder}", _WAIT) from error
        except FileNotFoundError:
            pass
        os.close(handle)
    raise RunError(f"another process keeps deleting the work folder {folder}", "Use another --work-dir.")


def make_private(folder: Path) -> None:
    """Create a folder that other users cannot read, unless it exists.

    Raises:
        RunError: remote storage cannot be reached or written.
    """
    if not storage.is_remote(folder):
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        return
    with _reaching(folder):
        storage.make_bucket(folder)
        _now(folder)


def is_open_to_others(folder: Path) -> bool:
    """Whether the mode of a local folder lets other users of this machine in, or anyone can read a bucket."""
    if storage.is_remote(folder):
        return storage.is_public(folder)
    return bool(folder.stat().st_mode & ~_PRIVATE & 0o777)


def _close_to_others(folder: Path) -> None:
    """Make an existing folder private: an earlier version, or the user, may have created it for this build."""
    # A folder with other files keeps the mode that its owner chose.
    if is_open_to_others(folder) and all(_OURS.fullmatch(path.name) for path in folder.iterdir()):
        with suppress(OSError):
            folder.chmod(_PRIVATE)


class _Holder(BaseModel):
    """The content of a remote lock: the process that holds the folder."""

    machine: tuple[str, ...]
    """Identifies the machine, its boot and the container."""
    pid: int
    started: float
    """Start time of the process, by the kernel: the pid may be reused."""

    @classmethod
    def here(cls) -> "_Holder":
        return cls(machine=_machine(), pid=os.getpid(), started=psutil.Process().create_time())

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended; known only for this machine."""
        if self.machine != _machine():
            return False
        try:
            return bool(psutil.Process(self.pid).create_time() != self.started)
        except psutil.NoSuchProcess:
            return True


@contextmanager
def _exclusive_remote(folder: Path) -> Iterator[None]:
    """Lock a folder in storage that has no locks, but lists all files that were written before.

    Who wants the folder writes an object of its own, and holds the folder if it then finds no other; else it withdraws.
    So of two at once, the one that looks last finds the other. The holder rewrites its object periodically. Another
    process takes over with a higher number when the object is stale by the storage's clock, or when the holder ran on
    this machine and is gone.
    """
    with _reaching(folder):
        storage.make_bucket(folder)
        lock = _take(folder)
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(lock, ended), name="lock", daemon=True)
    beats.start()
    try:
        yield
        if _is_lost(lock):
            raise RunError(
                f"another build took over {folder} while this one was cut off from it",
                "The folder is intact. Run the same command again after the other build has ended.",
            )
    finally:
        ended.set()
        beats.join()
        with suppress(*_errors()):  # The work is complete, and the lock expires.
            storage.remove([lock])


@contextmanager
def _reaching(folder: Path) -> Iterator[None]:
    try:
        yield
    except _errors() as error:
        raise RunError(
            f"{folder} cannot be reached or written: {error}", "Check the URL and the permissions."
        ) from error


def _take(folder: Path) -> Path:
    content = _Holder.here().model_dump_json().encode()
    for _ in range(_ATTEMPTS):
        gone = _locks(folder)
        for lock in gone:
            _await_end(lock)
        number = 1 + max((_number_of(lock) for lock in gone), default=0)
        lock = folder / f"{_LOCK}{number:06d}-{uuid4().hex[:8]}"
        storage.put(lock, content)
        is_alone = _is_alone(lock, gone)
        storage.remove(gone if is_alone else [lock])
        if is_alone:
            return lock
        time.sleep(random.uniform(0, _LOOK_S))  # Not the same time for all.
    raise RunError(f"other builds keep taking {folder}", _WAIT)


def _is_alone(lock: Path, gone: Sequence[Path]) -> bool:
    """Whether there is no other lock than those whose holders are gone."""
    for _ in range(_LOOKS):
        time.sleep(storage.settle_s(lock.parent))
        others = set(_locks(lock.parent)) - {lock, *gone}
        if not others:
            return True
        if min(others) < lock:
            return False
        # The first by name: if the others came at the same time, they withdraw now.
        time.sleep(_LOOK_S)
    return False


def _await_end(lock: Path) -> None:
    """Return when the lock's holder is gone, at once or when its lock expires.

    Raises:
        RunError: the holder may be alive.
    """
    if not _is_late(lock):
        return
    log.warning("%s: the build that holds it is silent: waiting until its lock expires", lock.parent)
    while _is_late(lock):
        time.sleep(_LOOK_S * _LOOKS)


def _is_late(lock: Path) -> bool:
    """Whether the lock's holder is probably gone, but its lock is not yet stale; False if it is gone.

    Raises:
        RunError: the holder may be alive.
    """
    try:
        content = storage.read(lock)
        silent_s = _now(lock.parent) - storage.modified(lock)
    except FileNotFoundError:  # It has just ended.
        return False
    try:
        holder = _Holder.model_validate_json(content)
    except ValidationError:
        holder = None
    if silent_s > _SILENT_S or (holder and holder.is_gone):
        return False
    if silent_s > _LATE_S:
        return True
    who = f" on {holder.machine[0]} (process {holder.pid})" if holder else ""
    raise RunError(
        f"another build is running in {lock.parent}{who}",
        f"{_WAIT} If it was killed, its lock expires in {max(_SILENT_S - silent_s, 0):.0f} s.",
    )


def _beat(lock: Path, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_S):
        with suppress(*_errors()):
            if _locks(lock.parent)[-1:] == [lock]:
                storage.put(lock, _Holder.here().model_dump_json().encode())


def _locks(folder: Path) -> list[Path]:
    """The locks by their numbers: the last one holds the folder."""
    return sorted(folder / name for name, _ in storage.listed(folder) if _NAMED.fullmatch(name))


def _number_of(lock: Path) -> int:
    return int(lock.name.removeprefix(_LOCK).partition("-")[0])


def _is_lost(lock: Path) -> bool:
    with suppress(*_errors()):
        return _locks(lock.parent)[-1:] not in ([lock], [])
    return False


def _now(folder: Path) -> float:
    """The time by the storage's clock."""
    probe = folder / f"clock-{uuid4().hex}"
    storage.put(probe, b"")
    try:
        return storage.modified(probe)
    finally:
        storage.remove([probe])


def _errors() -> tuple[type[Exception], ...]:
    return OSError, *storage.errors()


def _machine() -> tuple[str, ...]:
    facts = [platform.node()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return tuple(facts)
