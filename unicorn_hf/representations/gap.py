"""Measures of the modality gap between synthetic and real image representations, before and after the transfer.

Each compares two clouds of vectors, texts and images, in float64. Bandwidths and numbers of neighbours are fixed here,
so that figures of different sets are comparable. Mixing, residuals, and what is kept are the measures of AnisoAlign
(2605.07825).
"""

from math import comb

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.representations.figures import Gap

NUM_NEIGHBOURS = 20
_BLOCK_ROWS = 1024

Cloud = NDArray[np.float64]


def measure(texts: Cloud, images: Cloud, pairs: tuple[Cloud, Cloud] | None = None) -> Gap:
    """Args:
    texts: (rows, dimensions).
    images: (rows, dimensions); its rows are unrelated to those of `texts`.
    pairs: texts and images whose equal rows belong together, for measures that need pairs.
    """
    text_mean, image_mean = texts.mean(axis=0), images.mean(axis=0)
    gap = image_mean - text_mean
    if pairs is None:
        # E|x - y|² for independent x and y.
        energy = gap @ gap + texts.var(axis=0).sum() + images.var(axis=0).sum()
        in_mean = gap @ gap
    else:
        differences = pairs[1] - pairs[0]
        energy = np.square(differences).sum(axis=1).mean()
        in_mean = np.square(differences.mean(axis=0)).sum()
    mixed = pairs or (texts, images)
    anisotropy, dimension = residual(*pairs) if pairs else (None, None)
    return Gap(
        mean_gap=float(np.linalg.norm(gap)),
        cosine_to_text_mean=cosine(gap, text_mean),
        cosine_to_image_mean=cosine(gap, image_mean),
        mean_share=float(in_mean / energy) if energy else 0.0,
        mmd=mmd(texts, images),
        frechet=frechet(texts, images),
        paired_cosine=float(np.mean(row_cosines(*pairs))) if pairs else None,
        text_mixing=mixing(*mixed),
        image_mixing=mixing(*mixed[::-1]),
        residual_anisotropy=anisotropy,
        residual_dimension=dimension,
    )


def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Cosine similarity; 0 if either vector has no direction."""
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / norms) if norms > 0 else 0.0


def mmd(one: Cloud, other: Cloud) -> float:
    """See `Gap.mmd`. Gretton et al., A Kernel Two-Sample Test (JMLR 2012), equation 3."""
    cloud = np.concatenate([one, other])
    squares = np.square(cloud).sum(axis=1)
    squared = (squares[:, None] + squares[None, :] - 2 * cloud @ cloud.T).clip(0)
    np.fill_diagonal(squared, 0)
    bandwidth = float(np.median(squared[np.triu_indices_from(squared, 1)]))
    if bandwidth <= 0:
        return 0.0
    kernel = np.exp(-squared / (2 * bandwidth))
    n, m = len(one), len(other)
    within_one = (kernel[:n, :n].sum() - n) / (n * (n - 1))
    within_other = (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return float(np.sqrt(max(0.0, within_one + within_other - 2 * kernel[:n, n:].mean())))


def frechet(one: Cloud, other: Cloud) -> float:
    """See `Gap.frechet`. Dowson and Landau (1982); Heusel et al. (1706.08500) for images."""
    mean = one.mean(axis=0) - other.mean(axis=0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, axes = np.linalg.eigh(np.atleast_2d(first))
    root = (axes * np.sqrt(values.clip(0))) @ axes.T
    # tr((AB)^1/2) is the sum of the roots of the eigenvalues of A^1/2 B A^1/2, which is symmetric.
    cross = np.sqrt(np.linalg.eigvalsh(root @ np.atleast_2d(second) @ root).clip(0)).sum()
    squared = mean @ mean + np.trace(np.atleast_2d(first)) + np.trace(np.atleast_2d(second)) - 2 * cross
    return float(np.sqrt(max(0.0, squared)))


def row_cosines(one: Cloud, other: Cloud) -> NDArray[np.float64]:
    """Cosines of equal rows."""
    cosines: NDArray[np.float64] = np.einsum("ij,ij->i", one, other) / (
        np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    )
    return cosines


def neighbours_kept(before: Cloud, after: Cloud, number: int = NUM_NEIGHBOURS) -> float:
    """Mean share of each row's nearest rows (by cosine) before that are among its nearest rows after."""
    number = min(number, len(before) - 1)
    if number < 1:
        return 1.0
    one, other = _nearest(before, number), _nearest(after, number)
    return float(np.mean([len(set(a) & set(b)) / number for a, b in zip(one, other, strict=True)]))


def similarities_kept(before: Cloud, after: Cloud) -> float:
    """Pearson correlation of the cosines of all pairs of rows before and after; 0 if all are equal."""
    above = np.triu_indices(len(before), 1)
    one, other = ((unit @ unit.T)[above] for unit in (_unit(before), _unit(after)))
    return cosine(one - one.mean(), other - other.mean()) if len(one) else 0.0


def mixing(cloud: Cloud, other: Cloud, number: int = NUM_NEIGHBOURS) -> float:
    """How well the surroundings of this cloud's rows are mixed from both clouds.

    The binary entropy of the share of `other` among a row's nearest in both clouds (by cosine, without itself),
    averaged over the rows of `cloud`, divided by its expectation with shuffled labels. 0: the clouds are apart; 1:
    mixed.
    """
    num_others = len(cloud) - 1 + len(other)
    number = min(number, num_others)
    nearest = _nearest(np.concatenate([cloud, other]), number, len(cloud))
    found = _entropy((nearest >= len(cloud)).mean(axis=1)).mean()
    counts = np.arange(number + 1)
    # The number of rows of `other` among neighbours drawn at random has a hypergeometric distribution.
    ways = [comb(len(other), count) * comb(len(cloud) - 1, number - count) for count in counts.tolist()]
    chances = np.array([way / comb(num_others, number) for way in ways])
    expected = chances @ _entropy(counts / number)
    return float(found / expected) if expected > 0 else 0.0


def residual(one: Cloud, other: Cloud) -> tuple[float, float]:
    """See `Gap.residual_anisotropy` and `Gap.residual_dimension`; 0 if the rows of both differ by their mean alone."""
    differences = other - one
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(differences, rowvar=False, bias=True))).clip(0)
    if values.sum() <= 1e-12 * np.square(differences).sum(axis=1).mean():
        return 0.0, 0.0
    return float(values.max() / values.mean()), float(values.sum() ** 2 / np.square(values).sum() / len(values))


def projected(clouds: list[Cloud]) -> list[Cloud]:
    """Project the clouds on the first two principal components of all clouds, each with the same weight."""
    centre = np.mean([cloud.mean(axis=0) for cloud in clouds], axis=0)
    covariance = np.mean([(cloud - centre).T @ (cloud - centre) / len(cloud) for cloud in clouds], axis=0)
    _, axes = np.linalg.eigh(covariance)
    chosen = axes[:, :-3:-1]
    # The sign of an eigenvector is arbitrary: make its largest component positive.
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    return [(cloud - centre) @ chosen for cloud in clouds]


def _nearest(cloud: Cloud, number: int, num_rows: int | None = None) -> NDArray[np.int64]:
    """The rows that are nearest to each row, or to each of the first `num_rows`, by cosine."""
    unit, num_rows = _unit(cloud), len(cloud) if num_rows is None else num_rows
    found = np.empty((num_rows, number), dtype=np.int64)
    for start in range(0, num_rows, _BLOCK_ROWS):
        near = unit[start : min(start + _BLOCK_ROWS, num_rows)] @ unit.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        found[start : start + len(near)] = np.argpartition(-near, number - 1, axis=1)[:, :number]
    return found


def _unit(cloud: Cloud) -> Cloud:
    unit: Cloud = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
    return unit


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a choice between two, in bits."""
    inner = shares.clip(1e-300, None)
    outer = (1 - shares).clip(1e-300, None)
    entropy: NDArray[np.float64] = -shares * np.log2(inner) - (1 - shares) * np.log2(outer)
    return entropy
