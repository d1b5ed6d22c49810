"""Project the sampled vectors onto a plane, before and after the transfer."""

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
"""Tolerance for equal components of unit vectors; float16 rounds by at most a quarter of it."""
_AT_LEAST = 3
COSINE_BINS = 80


@dataclass(frozen=True)
class Side:
    """The vectors before or after the transfer."""

    points: Vectors
    """(rows, 2): the first two principal components."""
    share: float
    """The components' share of the variance."""
    mean_cosine: float
    """Mean over all pairs of different captions."""
    cosines: NDArray[np.float64]
    """(`COSINE_BINS`,): histogram of these pairs' cosines from -1 to 1, as shares."""
    mean_norm: float
    """L2 norm of the rows' mean."""


@dataclass(frozen=True)
class Plane:
    """The map of the rows with a vector."""

    rows: NDArray[np.int64]
    """Their indices among the sampled rows."""
    after: Side
    before: Side | None
    how: str
    """One sentence: the origin of the vectors before the transfer, or why there are none."""


def laid_out(folder: Path, work_dir: Path, ids: list[str], vectors: Vectors) -> Plane | None:
    """Compute the map of a sample; None if fewer than three of its rows have a vector.

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
        return None, f"The transfer `{transfer.name}` changes no vectors: they are the encoder's own."
    found = transfer.recovered(after)
    if found is not None:
        return found, f"The encoder's vectors were computed from the set's: {transfer.name} can be undone."
    found = _stored(work_dir, ids, transfer, after)
    if found is not None:
        return found, "The encoder's vectors come from the build's work files."
    return None, (
        f"The vectors before the transfer are unknown: {transfer.name} cannot be undone, and the build's work files "
        "are not beside the folder."
    )


def _stored(work_dir: Path, ids: list[str], transfer: Transfer, after: Vectors) -> Vectors | None:
    """The encoder's vectors from the work files, if the transfer turns them into the set's vectors."""
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
        # The two planes are independent: rotate one, so that equal rows are in equal places.
        left, _, right = np.linalg.svd(points.T @ turned_to)
        points = points @ (left @ right)
    cosines = _cosines(vectors[different])
    counts, _ = np.histogram(cosines, bins=COSINE_BINS, range=(-1, 1))
    return Side(points, share, float(cosines.mean()), counts / len(cosines), float(np.linalg.norm(mean)))


def _cosines(vectors: Vectors) -> Vectors:
    """The cosines of all pairs of different rows."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(np.finfo(float).tiny)
    cosines: Vectors = (unit @ unit.T)[np.triu_indices(len(unit), 1)].clip(-1, 1)
    return cosines
