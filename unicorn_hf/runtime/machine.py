"""The hardware of this machine."""

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TIMEOUT_S = 10


@dataclass(frozen=True)
class Gpu:
    """A GPU as nvidia-smi lists it."""

    name: str
    num_bytes: int | None
    """Its memory; None if nvidia-smi does not report it."""
    num_free_bytes: int | None = None


@lru_cache
def machine() -> str:
    """Describe the machine for the card: GPUs with their number, then the processor with the usable cores."""
    parts = [f"{number} × {name}" for name, number in sorted(Counter(gpu.name for gpu in gpus()).items())]
    return ", ".join([*parts, f"{cpu_count()} cores of {processor()}"])


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> list[Gpu]:
    """The GPUs that nvidia-smi lists; none if it is missing, fails or times out."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [_gpu(line) for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _gpu(line: str) -> Gpu:
    name, *memory = (cell.strip() for cell in line.split(","))
    total, free = (int(cell) * 2**20 if cell.isdecimal() else None for cell in [*memory, "", ""][:2])
    return Gpu(name, total, free)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return " ".join(next(names, "a processor").split())
