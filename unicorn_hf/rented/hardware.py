"""The data-sheet figures of GPUs that are for rent. Facts only: prices come from the Hub or the recipe."""

import re
from dataclasses import dataclass

_GB, _TERA = 1e9, 1e12


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU by its data sheet."""

    name: str
    model: str
    """Its name without the memory, as the Hub gives it."""
    num_bytes: float
    """Memory. Data sheets give 10^9 bytes or slightly more for a gigabyte: this is the lower figure."""
    bandwidth: float
    """Of its memory, in bytes per second."""
    flops: float
    """Dense 16-bit matrix operations per second: bfloat16, or float16 without `has_bfloat16`."""
    source: str
    has_bfloat16: bool = True


def _gpu(name: str, gigabytes: float, gigabytes_per_s: float, teraflops: float, source: str, model: str = "") -> Gpu:
    return Gpu(name, model or name, gigabytes * _GB, gigabytes_per_s * _GB, teraflops * _TERA, source, name != "T4")


GPUS = {
    gpu.name: gpu
    for gpu in (
        _gpu("T4", 16, 320, 65, "NVIDIA T4 Tensor Core GPU, data sheet, 2019"),
        _gpu("L4", 24, 300, 121, "NVIDIA L4 Tensor Core GPU, data sheet, 2023: 242 with sparsity"),
        _gpu("A10G", 24, 600, 70, "NVIDIA A10G, data sheet for AWS, 2022: 140 with sparsity"),
        _gpu("L40S", 48, 864, 362, "NVIDIA L40S, data sheet, 2023"),
        _gpu("A100-40GB", 40, 1555, 312, "NVIDIA A100 Tensor Core GPU, data sheet, 2021", "A100"),
        _gpu("A100-80GB", 80, 2039, 312, "NVIDIA A100 Tensor Core GPU, data sheet, 2021: SXM", "A100"),
        _gpu("H100", 80, 3350, 989, "NVIDIA H100 Tensor Core GPU, data sheet, 2023: SXM, 1,979 with sparsity"),
        _gpu("H200", 141, 4800, 989, "NVIDIA H200 Tensor Core GPU, data sheet, 2024: SXM, 1,979 with sparsity"),
        _gpu(
            "RTX-PRO-6000",
            96,
            1597,
            500,
            "NVIDIA RTX PRO 6000 Blackwell Server Edition, data sheet, 2025: 4,000 in FP4 with sparsity",
        ),
    )
}
"""By name, from small to large."""


def named_gpu(name: str) -> Gpu | None:
    """The GPU with this name in any spelling: `h100`, `NVIDIA A100-80GB`; of several sizes, the largest."""
    wanted = _plain(name)
    fitting = [gpu for gpu in GPUS.values() if wanted in (_plain(gpu.name), _plain(gpu.model))]
    return max(fitting, key=lambda gpu: gpu.num_bytes, default=None)


def gpu_of_size(model: str, *num_bytes: float) -> Gpu | None:
    """The GPU of a model whose memory is nearest to one of the sizes."""
    fitting = [gpu for gpu in GPUS.values() if _plain(gpu.model) == _plain(model)]
    return min(fitting, key=lambda gpu: min(abs(gpu.num_bytes - size) for size in num_bytes), default=None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("nvidia")
