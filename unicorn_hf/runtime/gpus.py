"""The GPUs that a build may use on this machine, and how they are divided between workers."""

import os
from collections.abc import Sequence

from unicorn_hf.core.errors import InputError
from unicorn_hf.runtime.machine import gpus

Group = tuple[str, ...]
"""Devices of one worker, as `CUDA_VISIBLE_DEVICES` names them."""
GPU_SLOTS = "unicorn-hf-gpu"
"""Dask resource of workers with a GPU: one unit per thread; a job that uses the GPU takes one."""
_NONE = ("", "-1", "NoDevFiles")
"""Values that mean no device; the last is SLURM's."""


def visible_gpus() -> list[str]:
    """The devices in `CUDA_VISIBLE_DEVICES`, or else all of this machine; none without nvidia-smi."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in _NONE]
    return [str(number) for number in range(len(gpus()))]


def grouped(devices: Sequence[str], size: int) -> list[Group]:
    """Group neighbouring GPUs, `size` per group; a remainder stays unused.

    Raises:
        InputError: there are too few for one group.
    """
    if len(devices) < size:
        raise InputError(
            f"a worker needs {size} GPUs (engine.tensor_parallel_size), but only {len(devices)} are visible",
            "Use a smaller model, a smaller tensor_parallel_size or a machine with more GPUs, or set"
            " CUDA_VISIBLE_DEVICES.",
        )
    return [tuple(devices[start : start + size]) for start in range(0, len(devices) - size + 1, size)]
