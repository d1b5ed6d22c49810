"""Which GPUs this machine lends to the build, and how they are shared out."""

import os
from collections.abc import Sequence

from unicorn_hf.core.errors import InputError

Group = tuple[str, ...]
"""Devices of one worker, as `CUDA_VISIBLE_DEVICES` names them."""
GPU_SLOTS = "unicorn-hf-gpu"
"""What a worker with a GPU has of in Dask's books: as many as it has threads, of which a job that uses it takes one."""
_NONE = ("", "-1", "NoDevFiles")
"""Names of no device; the last is SLURM's."""


def visible_gpus() -> list[str]:
    """The devices that `CUDA_VISIBLE_DEVICES` names, or else all of this machine; none where NVML is not there."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in _NONE]
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no module, no driver, no device: each has an error of its own
        return []
    try:
        return [str(number) for number in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def grouped(gpus: Sequence[str], size: int) -> list[Group]:
    """Neighbours together, `size` to a group; what does not fill a group is left over.

    Raises:
        InputError: there are not enough for one.
    """
    if len(gpus) < size:
        raise InputError(
            f"a worker needs {size} GPUs (engine.tensor_parallel_size), and {len(gpus)} can be seen here",
            "A smaller model or tensor_parallel_size, a machine with more GPUs, or CUDA_VISIBLE_DEVICES.",
        )
    return [tuple(gpus[start : start + size]) for start in range(0, len(gpus) - size + 1, size)]
