"""What hardware work is done on, in words for the card."""

import os
import subprocess
from collections import Counter
from functools import lru_cache
from pathlib import Path

_TIMEOUT_S = 10


@lru_cache
def machine() -> str:
    """GPUs with their number, then the processor with the cores that this process may use."""
    parts = [f"{number} × {name}" for name, number in sorted(Counter(_gpus()).items())]
    return ", ".join([*parts, f"{len(os.sched_getaffinity(0))} cores of {_processor()}"])


def _gpus() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return " ".join(next(names, "a processor").split())
