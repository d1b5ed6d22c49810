"""What hardware work is done on."""

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
    """Its memory; None where nvidia-smi does not say."""
    num_free_bytes: int | None = None


@lru_cache
def machine() -> str:
    """In words, for the card: GPUs with their number, then the processor with the cores that this process may use."""
    parts = [f"{number} × {name}" for name, number in sorted(Counter(gpu.name for gpu in gpus()).items())]
    return ", ".join([*parts, f"{cpu_count()} cores of {processor()}"])


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> list[Gpu]:
    """All that nvidia-smi lists; none where there is no nvidia-smi, or it fails or does not answer."""
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
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return " ".join(next(names, "a processor").split())
