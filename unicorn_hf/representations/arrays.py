"""The image side of transfers, for NumPy arrays and torch tensors; it never imports torch by itself."""

import sys
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.rows import RowError

Array = TypeVar("Array")
_NO_DIRECTION = 1e-6


def moved_images(images: Array, mean: NDArray[np.float64] | None, *, unit: bool) -> Array:
    """x - mean, divided by its norm if `unit`, with the type, dtype and device of `images`.

    float16 and bfloat16 are computed in float32. Without a mean, that of `images` is used.

    Raises:
        InputError: the dimension differs, or there is no mean and only one image.
        RowError: an image's representation has no direction.
    """
    torch = sys.modules.get("torch")
    # If `images` is a tensor, torch is already imported.
    if torch is not None and isinstance(images, torch.Tensor):
        return cast(Array, _moved_tensor(images, mean, unit))
    return cast(Array, _moved_array(np.asarray(images), mean, unit))


def _moved_array(images: NDArray[Any], mean: NDArray[np.float64] | None, unit: bool) -> NDArray[Any]:
    dtype = images.dtype if np.issubdtype(images.dtype, np.floating) else np.dtype(np.float32)
    work = np.promote_types(dtype, np.float32)
    if mean is None:
        _check_several(images.shape)
        mean = images.reshape(-1, images.shape[-1]).mean(axis=0, dtype=np.float64)
    _check_dim(images.shape, mean)
    moved = images.astype(work) - mean.astype(work)
    norms = np.linalg.norm(moved, axis=-1, keepdims=True)
    _check_norms(norms.ravel())
    result: NDArray[Any] = (moved / norms if unit else moved).astype(dtype, copy=False)
    return result


def _moved_tensor(images: Any, mean: NDArray[np.float64] | None, unit: bool) -> Any:
    import torch

    dtype = images.dtype if images.is_floating_point() else torch.float32
    work = torch.promote_types(dtype, torch.float32)
    rows = images.to(work)
    if mean is None:
        _check_several(tuple(images.shape))
        centre = rows.reshape(-1, rows.shape[-1]).mean(dim=0)
    else:
        _check_dim(tuple(images.shape), mean)
        centre = torch.from_numpy(mean).to(work).to(images.device)
    moved = rows - centre
    norms = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
    _check_norms(norms.detach().float().cpu().numpy().ravel())
    return (moved / norms if unit else moved).to(dtype)


def _check_several(shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or np.prod(shape[:-1]) < 2:
        raise InputError(
            "the mean of the images is unknown, and a single image is its own mean",
            "Pass all available images at once, or use --image-statistics: `unicorn-hf calibrate` measures their mean.",
        )


def _check_dim(shape: tuple[int, ...], mean: NDArray[np.float64]) -> None:
    if not shape or shape[-1] != len(mean):
        dim = shape[-1] if shape else 0
        raise InputError(
            f"the images have {dim} dimensions, the transfer has {len(mean)}", "Both must come from the same encoder."
        )


def _check_norms(norms: NDArray[Any]) -> None:
    bad = np.flatnonzero(~(norms > _NO_DIRECTION) | ~np.isfinite(norms))
    if len(bad):
        raise RowError(
            f"the image's vector has no direction after the transfer (norm {norms[bad[0]]})", row=int(bad[0])
        )
