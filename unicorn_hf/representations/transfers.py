"""Modality representation transfer: text representations become synthetic image representations (paper, section 3.3).

u is a unit-norm text representation, x a unit-norm image representation, mu_u and mu_x the means of their sets, and
N(.) divides by the L2 norm.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.recipe import TransferName

Vectors = NDArray[np.float32]
_FORMAT = 1


class Transfer(Protocol):
    """Both sides of a transfer. Arrays have shape (n, dim); rows are unit vectors, and so is what comes back."""

    def apply_text(self, vectors: Vectors) -> Vectors:
        """Text representations to synthetic image representations, float32."""
        ...

    def apply_image(self, vectors: Vectors) -> Vectors:
        """A real image's representations to the space that the synthetic ones live in, float32; for inference."""
        ...


@dataclass(frozen=True)
class Identity:
    """`none`: v = u. The baseline."""

    def apply_text(self, vectors: Vectors) -> Vectors:
        return vectors

    def apply_image(self, vectors: Vectors) -> Vectors:
        return vectors


@dataclass(frozen=True)
class MeanShift:
    """`mean_shift`: v = N(u - mu_u); at inference N(x - mu_x) (Unicorn, section 3.3). Needs no image to make the data.

    mu_x is the mean of the consumer's images; where it is not known, the mean of the images at hand serves.
    """

    text_mean: NDArray[np.float64]
    image_mean: NDArray[np.float64] | None = None

    def apply_text(self, vectors: Vectors) -> Vectors:
        return normalise(vectors - self.text_mean.astype(np.float32))

    def apply_image(self, vectors: Vectors) -> Vectors:
        mean = vectors.mean(axis=0, dtype=np.float64) if self.image_mean is None else self.image_mean
        return normalise(vectors - mean.astype(np.float32))


def fit(name: TransferName, text_mean: NDArray[np.float64]) -> Transfer:
    return Identity() if name == "none" else MeanShift(text_mean)


def normalise(vectors: Vectors) -> Vectors:
    """Rows divided by their L2 norm.

    Raises:
        InputError: a row is zero or not finite, and so has no direction.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] < np.finfo(np.float32).tiny))
    if len(bad):
        raise InputError(
            f"row {bad[0]}: the vector has no direction after the transfer (norm {norms[bad[0], 0]})",
            "One row alone, or rows that are all equal, are their own mean: --transfer none keeps them.",
        )
    unit: Vectors = vectors / norms
    return unit


def save_transfer(path: Path, name: TransferName, encoder: str, text_mean: NDArray[np.float64], count: int) -> None:
    """Write the consumer's half: the text side's mean (float64), how many vectors it is of, method and encoder."""
    from safetensors.numpy import save_file

    facts = {"format": _FORMAT, "transfer": name, "encoder": encoder, "text_count": count}
    # One key: safetensors writes several in an order that changes from run to run.
    save_file({"text_mean": text_mean}, path, metadata={"unicorn_hf": json.dumps(facts)})
