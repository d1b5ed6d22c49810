"""Read embeddings from imported files, as numbers only: pickles are never opened."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError

KEY = "embeddings"
"""The only tensor of a safetensors file, (rows, dim)."""
_ENCODE = "or encode all captions again: --encoder ENCODER."
ADVICE = f"Remove the row from the file, {_ENCODE}"
FORM = f"Write embeddings as lists of floating-point numbers, {_ENCODE}"
_BESIDE = f"Put the file of the export beside this one, {_ENCODE}"
Vector = NDArray[np.floating[Any]]
_PLACE = re.compile(r"(?P<file>[^#]+\.safetensors)#(?P<row>\d{1,9})")
_MAX_BYTES = 1 << 30


def vector_place(row: Mapping[str, Any]) -> re.Match[str] | None:
    """`FILE#ROW` of a row that `export` wrote; None if its image is a picture, or missing."""
    images = row.get("images")
    place = images[0] if isinstance(images, list) and images else row.get("image")
    return _PLACE.fullmatch(place) if isinstance(place, str) else None


def array_of(numbers: NDArray[Any], where: str) -> Vector:
    """Return a valid embedding: shape (dim,), dim at least 1, finite and not zero.

    Raises:
        InputError: the shape, the type or the values are invalid.
    """
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.floating):
        found = f"an array of {numbers.dtype}, shape {numbers.shape}"
        raise InputError(f"{where}: its embedding is not a list of floating-point numbers, but {found}", FORM)
    if not len(numbers):
        raise InputError(f"{where}: its embedding is empty or null", ADVICE)
    if np.isnan(numbers).any():
        raise InputError(f"{where}: its embedding contains NaN", ADVICE)
    if np.isinf(numbers).any():
        raise InputError(f"{where}: its embedding contains infinity", ADVICE)
    if not numbers.any():
        raise InputError(f"{where}: its embedding is zero", ADVICE)
    return numbers


@dataclass
class VectorFiles:
    """The safetensors files below a folder, with the last one in memory."""

    folder: Path
    _name: str = ""
    _vectors: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0)))

    def read(self, place: re.Match[str], where: str) -> Vector:
        """Return the vector at a `vector_place`.

        Raises:
            InputError: there is none, or the file is outside the folder.
        """
        if place["file"] != self._name:
            self._vectors, self._name = self._load(place["file"], where), place["file"]
        row = int(place["row"])
        if row >= len(self._vectors):
            raise InputError(f"{where}: {place[0]!a}: the file has {len(self._vectors):,} rows", ADVICE)
        return array_of(self._vectors[row], where)

    def _load(self, name: str, where: str) -> NDArray[Any]:
        from safetensors import SafetensorError, safe_open

        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise InputError(f"{where}: {name!a} is outside {self.folder}", _BESIDE)
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise InputError(f"{where}: {name!a} is larger than {_MAX_BYTES >> 30} GiB", _BESIDE)
            with safe_open(path, "numpy") as file:
                vectors: NDArray[Any] = file.get_tensor(KEY)
        except (SafetensorError, OSError, TypeError, AttributeError) as error:
            raise InputError(f"{where}: {name!a} contains no tensor {KEY}: {error}", _BESIDE) from error
        if vectors.ndim != 2:
            raise InputError(
                f"{where}: the tensor {KEY} of {name!a} is not a table of vectors: {vectors.shape}", _BESIDE
            )
        return vectors
