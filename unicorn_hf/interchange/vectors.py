"""Embeddings that files bring with them. They are read as numbers alone: no pickle is ever opened."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError

KEY = "embeddings"
"""The one tensor of a safetensors file, (rows, dim)."""
ADVICE = "Leave the row out of the file, or encode all captions anew: --encoder ENCODER."
Vector = NDArray[np.floating[Any]]
_PLACE = re.compile(r"(?P<file>[^#]+\.safetensors)#(?P<row>\d{1,9})")
_MAX_BYTES = 1 << 30


def vector_place(row: Mapping[str, Any]) -> str | None:
    """`FILE#ROW` of a row that `export` wrote; None where its image is a picture, or there is none."""
    images = row.get("images")
    place = images[0] if isinstance(images, list) and images else row.get("image")
    return place if isinstance(place, str) and _PLACE.fullmatch(place) else None


def array_of(numbers: NDArray[Any], where: str) -> Vector:
    """An embedding of shape (dim,), dim at least 1, finite and not zero.

    Raises:
        InputError: it is of another shape, or of another type than float, or has no direction.
    """
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.floating):
        found = f"an array of {numbers.dtype}, shape {numbers.shape}"
        raise InputError(f"{where}: its embedding is no list of floating point numbers, but {found}", ADVICE)
    if not len(numbers):
        raise InputError(f"{where}: its embedding is empty or null", ADVICE)
    if problem := _problem(numbers):
        raise InputError(f"{where}: {problem}, so it has no direction", ADVICE)
    return numbers


def _problem(numbers: Vector) -> str | None:
    if np.isnan(numbers).any():
        return "its embedding has NaN in it"
    if np.isinf(numbers).any():
        return "its embedding has an infinite number in it"
    return None if numbers.any() else "its embedding is zero"


@dataclass
class VectorFiles:
    """The safetensors files below a folder, of which the last one is held."""

    folder: Path
    _name: str = ""
    _vectors: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0)))

    def read(self, place: str, where: str) -> Vector:
        """The vector at `FILE#ROW`.

        Raises:
            InputError: there is none, or the file lies outside of the folder.
        """
        match = _PLACE.fullmatch(place)
        assert match
        if match["file"] != self._name:
            self._vectors, self._name = self._load(match["file"], where), match["file"]
        row = int(match["row"])
        if row >= len(self._vectors):
            raise InputError(f"{where}: {place!a}: the file has {len(self._vectors):,} rows")
        return array_of(self._vectors[row], where)

    def _load(self, name: str, where: str) -> NDArray[Any]:
        from safetensors import SafetensorError, safe_open

        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise InputError(f"{where}: {name!a} lies outside of {self.folder}")
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise InputError(f"{where}: {name!a} is larger than {_MAX_BYTES >> 30} GiB")
            with safe_open(path, "numpy") as file:
                vectors: NDArray[Any] = file.get_tensor(KEY)
        except (SafetensorError, OSError, TypeError, AttributeError) as error:
            raise InputError(f"{where}: {name!a} holds no tensor {KEY}: {error}") from error
        if vectors.ndim != 2:
            raise InputError(f"{where}: the tensor {KEY} of {name!a} is no table of vectors: {vectors.shape}")
        return vectors
