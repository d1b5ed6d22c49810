"""The sampled vectors on a plane, before and after the transfer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.gap import projected
from unicorn_hf.representations.step import STAGE
from unicorn_hf.representations.transfer_file import load_transfer
from unicorn_hf.representations.transfers import Transfer
from unicorn_hf.representations.vectors import KIND, find_vectors

Vectors = NDArray[np.float64]
_SAME = 2e-3
"""Numbers of unit vectors that differ by less are the same: float16 rounds by a quarter of it at most."""
_AT_LEAST = 3
COSINE_BINS = 80


@dataclass(frozen=True)
class Side:
    """The vectors before or after the transfer."""

    points: Vectors
    """(rows, 2): their first two principal components."""
    share: float
    """The part of their variance that these hold."""
    mean_cosine: float
    """Of two different captions, mean over all such pairs."""
    cosines: NDArray[np.float64]
    """(`COSINE_BINS`,): the share of these pairs whose cosine is in each of as many equal parts of -1 to 1."""
    mean_norm: float
    """L2 norm of the rows' mean."""


@dataclass(frozen=True)
class Plane:
    """What is drawn of the rows that have a vector."""

    rows: NDArray[np.int64]
    """Their numbers among the sampled rows."""
    after: Side
    before: Side | None
    how: str
    """Where the vectors before the transfer come from, or why there are none: a sentence."""


def laid_out(folder: Path, work_dir: Path, ids: list[str], vectors: Vectors) -> Plane | None:
    """The map of a sample; None where fewer than three of its rows have a vector.

    Raises:
        InputError: the set's transfer cannot be read.
    """
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    if len({ids[row] for row in rows}) < _AT_LEAST:
        return None
    after, names = vectors[rows], [ids[row] for row in rows]
    # A caption may be among the rows of both configs.
    _, different = np.unique(names, return_index=True)
    before, how = _before(folder, work_dir, names, after)
    if before is None:
        return Plane(rows, _side(after, different), None, how)
    first = _side(before, different)
    return Plane(rows, _side(after, different, turned_to=first.points), first, how)


def _before(folder: Path, work_dir: Path, ids: list[str], after: Vectors) -> tuple[Vectors | None, str]:
    transfer = load_transfer(folder)
    if not transfer.moves_texts:
        return None, f"Nothing was transferred ({transfer.name}): the vectors are the encoder's own."
    found = transfer.recovered(after)
    if found is not None:
        return found, f"The encoder's vectors were computed back from the set's: {transfer.name} can be undone."
    found = _stored(work_dir, ids, transfer, after)
    if found is not None:
        return found, "The encoder's vectors come from the build's work files."
    return None, (
        f"The vectors before the transfer are not known: {transfer.name} cannot be undone, and the build's work files, "
        "which hold them, are not beside the folder."
    )


def _stored(work_dir: Path, ids: list[str], transfer: Transfer, after: Vectors) -> Vectors | None:
    """The encoder's vectors in the work files: those that the transfer makes the set's vectors of."""
    for step in sorted(work_dir.glob(f"{STAGE}-*")):
        found = find_vectors(sorted(step.glob(f"*.{KIND}")), ids)
        if found is None or found.shape != after.shape:
            continue
        try:
            again = transfer.apply_text(found, ids)
        except InputError:
            continue
        if np.abs(again - after).max() <= _SAME:
            return found.astype(np.float64)
    return None


def _side(vectors: Vectors, different: NDArray[np.int64], turned_to: Vectors | None = None) -> Side:
    points = projected([vectors])[0]
    mean = vectors.mean(axis=0)
    spread = float(np.square(vectors - mean).sum())
    share = float(np.square(points).sum()) / spread if spread else 1.0
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    if turned_to is not None:
        # Two planes have nothing to do with each other: one is turned, so that equal rows lie in equal places.
        left, _, right = np.linalg.svd(points.T @ turned_to)
        points = points @ (left @ right)
    cosines = _cosines(vectors[different])
    counts, _ = np.histogram(cosines, bins=COSINE_BINS, range=(-1, 1))
    return Side(points, share, float(cosines.mean()), counts / len(cosines), float(np.linalg.norm(mean)))


def _cosines(vectors: Vectors) -> Vectors:
    """Of all pairs of two different rows."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(np.finfo(float).tiny)
    cosines: Vectors = (unit @ unit.T)[np.triu_indices(len(unit), 1)].clip(-1, 1)
    return cosines
