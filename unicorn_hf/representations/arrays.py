"""The image side of transfers, for NumPy arrays and torch tensors; it never imports torch by itself."""

import math
import sys
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.rows import NO_DIRECTION, RowError

Array = TypeVar("Array")


def moved_images(images: Array, mean: NDArray[np.float64] | None, *, dim: int, unit: bool) -> Array:
    """x - mean, divided by its norm if `unit`, with the type, dtype and device of `images`.

    float16 and bfloat16 are computed in float32. Without a mean, that of `images` is used.

    Raises:
        InputError: the dimension differs, or there is no mean and only one image.
        RowError: an image's representation has no direction.
    """
    torch = sys.modules.get("torch")
    # If `images` is a tensor, torch is already imported.
    library: Any = torch if torch is not None and isinstance(images, torch.Tensor) else np
    rows: Any = np.asarray(images) if library is np else images
    dtype = rows.dtype if "float" in str(rows.dtype) else library.float32
    work = library.promote_types(dtype, library.float32)
    if rows.shape[-1:] != (dim,):
        found = rows.shape[-1] if rows.shape else 0
        raise InputError(
            f"the images have {found} dimensions, the transfer has {dim}", "Both must come from the same encoder."
        )
    centre = _mean(rows, work) if mean is None else library.asarray(mean, dtype=work, device=rows.device)
    moved = _as(rows, work) - centre
    norms = library.linalg.vector_norm(moved, axis=-1, keepdims=True)
    bad = ~(norms > NO_DIRECTION) | ~library.isfinite(norms)
    if bad.any():
        row = bad.ravel().tolist().index(True)
        raise RowError(f"the image's vector has no direction after the transfer (norm {norms.ravel()[row]})", row=row)
    return cast(Array, _as(moved / norms if unit else moved, dtype))


def _as(array: Any, dtype: Any) -> Any:
    return array.astype(dtype, copy=False) if isinstance(array, np.ndarray) else array.to(dtype)


def _mean(rows: Any, work: Any) -> Any:
    if math.prod(rows.shape[:-1]) < 2:
        raise InputError(
            "the mean of the images is unknown, and a single image is its own mean",
            "Pass all available images at once, or use --image-statistics: `unicorn-hf calibrate` measures their mean.",
        )
    # In float64, which not all devices of torch have.
    exact = np.float64 if isinstance(rows, np.ndarray) else work
    return _as(rows.reshape(-1, rows.shape[-1]).mean(0, dtype=exact), work)
