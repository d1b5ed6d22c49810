"""vLLM's own processes beside a worker: they end with it, however it ends.

On a GPU vLLM runs in processes of its own. A worker that is killed cannot stop them, and they would keep the GPU's
memory from the worker that comes in its place. So each of them carries its worker's mark in its environment, and has
the kernel end it with the process that started it, in a plugin of vLLM's (entry point `vllm.general_plugins`). One
whose worker is killed before that, while it waits for the worker's first word, holds no GPU yet: it ends when vLLM's
handshake does (after minutes), or is found by the mark and ended by the next worker.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time

import psutil

from unicorn_hf.core.errors import RunError

log = logging.getLogger(__name__)

MARK = "UNICORN_HF_WORKER"
"""PID and start time of the worker that an engine's process belongs to."""
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 1.0
_ENDS_WITHIN_S = 30


def mark_this_worker() -> None:
    """Give the processes that this one starts from now on its mark.

    Raises:
        RunError: this process may not have any: it is a daemon.
    """
    if multiprocessing.current_process().daemon:
        raise RunError(
            "vLLM needs a process of its own on a GPU, and this Dask worker may not start one",
            "Start the workers with DASK_DISTRIBUTED__WORKER__DAEMON=False in their environment.",
        )
    os.environ[MARK] = _mark_of(psutil.Process())
    # vLLM gives its processes names, and setproctitle writes names over the environment unless told not to.
    os.environ["SPT_NOENV"] = "1"


def end_with_the_worker() -> None:
    """vLLM calls this at the start of each of its processes; it does nothing in processes of other programs."""
    mark = os.environ.get(MARK)
    if mark is None or mark == _mark_of(psutil.Process()):
        return
    if sys.platform == "linux":
        # Ends this process with the thread that started it, even in the middle of a kernel call.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(mark,), name="unicorn-hf-watch", daemon=True).start()


def clear_up() -> int:
    """End the engine processes of workers of ours that are gone, and wait until they are; returns how many."""
    left = [process for process in psutil.process_iter() if _is_orphan(process)]
    for process in left:
        log.warning("ending the engine process %d, whose worker is gone", process.pid)
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=_ENDS_WITHIN_S)
    return len(left)


def _watch(mark: str) -> None:
    while _is_alive(mark):
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_orphan(process: psutil.Process) -> bool:
    try:
        mark = process.environ().get(MARK)
    except psutil.Error:  # Another user's, or gone: not ours to end.
        return False
    return mark is not None and mark != _mark_of(process) and not _is_alive(mark)


def _is_alive(mark: str) -> bool:
    pid = int(mark.partition("@")[0])
    try:
        process = psutil.Process(pid)
        return _mark_of(process) == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mark_of(process: psutil.Process) -> str:
    # A PID comes again, a PID with its start time does not.
    return f"{process.pid}@{process.create_time():.2f}"
