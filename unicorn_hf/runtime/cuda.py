"""A Dask-CUDA cluster whose workers own several GPUs each."""

from collections.abc import Sequence
from typing import Any

from dask_cuda import LocalCUDACluster

from unicorn_hf.runtime.gpus import Group


class GroupedCUDACluster(LocalCUDACluster):  # type: ignore[misc]
    """One worker a group of GPUs, and these alone visible to it and to the processes that it starts.

    dask-cuda gives each worker one GPU and shows it all others behind its own; an engine that spans several GPUs would
    take those of its neighbours. Each worker's own is the first of its group: memory and processor cores near that one
    are the worker's.
    """

    def __init__(self, groups: Sequence[Group], **options: Any) -> None:
        # dask-cuda names devices by number where it can.
        self._groups = {_device(group[0]): group for group in groups}
        super().__init__(CUDA_VISIBLE_DEVICES=[group[0] for group in groups], n_workers=len(groups), **options)

    def new_worker_spec(self) -> dict[Any, Any]:
        specs: dict[Any, Any] = super().new_worker_spec()
        for device, spec in specs.items():
            spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] = ",".join(self._groups[device])
        return specs


def _device(name: str) -> int | str:
    return int(name) if name.isdigit() else name
