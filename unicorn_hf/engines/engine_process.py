"""Make vLLM's processes end with their worker.

On a GPU vLLM runs in separate processes. A killed worker cannot stop them, and they would keep the GPU's memory from
the next worker. So each has its worker's mark in its environment, and a plugin of vLLM (entry point
`vllm.general_plugins`) has the kernel kill it with its parent. If the worker is killed before that, during vLLM's
handshake, the process holds no GPU memory yet: it ends when the handshake times out (after minutes), or the next worker
finds it by its mark and kills it.
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
    """Mark all processes that this one starts from now on.

    Raises:
        RunError: this process is a daemon, and may start none.
    """
    if multiprocessing.current_process().daemon:
        raise RunError(
            "vLLM needs a separate process on a GPU, and this Dask worker may not start one",
            "Start the workers with DASK_DISTRIBUTED__WORKER__DAEMON=False in their environment.",
        )
    os.environ[MARK] = _mark_of(psutil.Process())
    # vLLM names its processes with setproctitle, which by default overwrites the environment.
    os.environ["SPT_NOENV"] = "1"


def end_with_the_worker() -> None:
    """Kill this engine process when its worker ends. vLLM calls this at the start of each of its processes; without
    a mark it does nothing."""
    mark = os.environ.get(MARK)
    if mark is None or mark == _mark_of(psutil.Process()):
        return
    if sys.platform == "linux":
        # Kills this process with the thread that started it, even in the middle of a system call.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(mark,), name="unicorn-hf-watch", daemon=True).start()


def clear_up() -> int:
    """Kill engine processes whose worker is gone, and wait for their end; return their number."""
    left = [process for process in psutil.process_iter() if _is_orphan(process)]
    for process in left:
        log.warning("killing the engine process %d: its worker is gone", process.pid)
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
    except psutil.Error:  # Another user's process, or gone.
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
    # A PID may be reused; PID and start time together are unique.
    return f"{process.pid}@{process.create_time():.2f}"
