"""Optimal transport between normal distributions: texts get the images' covariance too."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.moments import Covariance
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfers.base import (
    Block,
    Exact,
    FirstPass,
    Move,
    TransferStatistics,
    from_centre,
    normalise,
    shift,
)
from unicorn_hf.representations.transfers.mean_shift import MeanShift

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class TextCovariance(FirstPass):
    """The first pass: the covariance of all text representations."""

    result = Covariance
    rows_per_part = 1 << 16
    """A part takes 13 MB at 1,280 dimensions."""

    def measure(self, vectors: Vectors) -> Covariance:
        return Covariance.of(vectors)


@TRANSFERS.register("gaussian_ot")
@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianOT(MeanShift):
    """`gaussian_ot`: v = N(A (y - mu_y)); at inference N(x - mu_x).

    A = S^-1/2 (S^1/2 R S^1/2)^1/2 S^-1/2 maps a normal distribution with the texts' covariance S onto one with the
    images' covariance R at the least mean squared distance (Dowson and Landau 1982; Peyré and Cuturi, Computational
    Optimal Transport, 1803.00567, remark 2.31). Both are shrunk: S = 0.8 cov(y) + 0.2 I tr(cov(y)) / d.
    """

    text_covariance: Matrix
    image_covariance: Matrix

    SHRINKAGE: ClassVar[float] = 0.2
    formula = "v = N(A (u - mean(u))), A the optimal transport map from cov(u) to cov(x), both shrunk by 0.2"
    needs_images = True
    first_pass = TextCovariance
    train_noise = 1.0
    card_text = (
        "with their mean subtracted, mapped to the images' covariance by optimal transport between normal"
        " distributions, scaled back to unit length"
    )
    card_image = "subtract the mean of real images, and scale them to unit length"

    @classmethod
    def check_images(cls, covariance: Covariance | None, vectors: Sample | None) -> None:
        if covariance is None:
            raise InputError(
                "the image statistics contain no covariance",
                "They are of an older version: run `unicorn-hf calibrate`.",
            )

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        image, text = statistics.image_covariance, statistics.first
        statistics.check_spread()
        cls.check_images(image, statistics.image_vectors)
        if image is None or not isinstance(text, Covariance):
            raise ValueError("gaussian_ot also needs the covariance of the text representations")
        return cls(text.mean, image.mean, text_covariance=text.matrix, image_covariance=image.matrix)

    @cached_property
    def map(self) -> Matrix:
        """A: symmetric, of the shape (dimensions, dimensions)."""
        root, inverse = _roots(self._shrunk(self.text_covariance))
        middle, _ = _roots(root @ self._shrunk(self.image_covariance) @ root)
        made: Matrix = inverse @ middle @ inverse
        return made

    def _shrunk(self, covariance: Matrix) -> Matrix:
        dim = len(covariance)
        shrunk: Matrix = (1 - self.SHRINKAGE) * covariance + self.SHRINKAGE * np.trace(covariance) / dim * np.eye(dim)
        return shrunk

    def mover(self, ids: Sequence[str] | None) -> Move:
        table = self.map.astype(np.float32)

        def multiply(block: Block, _: int) -> None:
            with np.errstate(invalid="ignore"):  # `normalise` names a row that is not finite.
                block[:] = block @ table
            normalise(block)

        return shift(self.text_mean, multiply)

    def recovered(self, vectors: Exact) -> Exact | None:
        return from_centre(vectors @ np.linalg.inv(self.map).astype(np.float64), self.text_mean)


def _roots(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """The square root of a positive definite matrix, and the root's inverse."""
    values, axes = np.linalg.eigh(matrix)
    roots = np.sqrt(values)
    return (axes * roots) @ axes.T, (axes / roots) @ axes.T
