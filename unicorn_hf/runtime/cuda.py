"""A Dask-CUDA cluster whose workers own several GPUs each."""

from collections.abc import Sequence
from typing import Any

from dask_cuda import LocalCUDACluster

from unicorn_hf.runtime.gpus import Group


class GroupedCUDACluster(LocalCUDACluster):  # type: ignore[misc]
    """One worker per group of GPUs; the worker and its child processes see only the group.

    dask-cuda gives each worker one GPU and lists all others after it, so an engine that spans several GPUs would take
    its neighbours'. The first GPU of a group is the worker's own: the worker is bound to the cores and memory near it.
    """

    def __init__(self, groups: Sequence[Group], **options: Any) -> None:
        # dask-cuda names devices by number where it can.
        self._groups = {int(group[0]) if group[0].isdigit() else group[0]: group for group in groups}
        super().__init__(CUDA_VISIBLE_DEVICES=[group[0] for group in groups], n_workers=len(groups), **options)

    def new_worker_spec(self) -> dict[Any, Any]:
        specs: dict[Any, Any] = super().new_worker_spec()
        for device, spec in specs.items():
            spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] = ",".join(self._groups[device])
        return specs
