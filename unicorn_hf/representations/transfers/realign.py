"""A transfer of two passes: texts are scaled, moved to the images' mean, and moved again by the remaining gap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.moments import SetMean
from unicorn_hf.representations.rows import Vectors, at_rows, exact_blocks
from unicorn_hf.representations.transfers.base import (
    TO_IMAGES,
    Block,
    FirstPass,
    Mean,
    Move,
    Transfer,
    TransferStatistics,
    checked,
    normalise,
    shift,
)


@dataclass(frozen=True)
class Alignment(FirstPass):
    """The first part of `realign`: e' = N(mu_x + s (y - mu_y)), s = sqrt(T_x / T_y).

    N(.) is invariant to a positive factor, so e' = N(y - centre) with a single vector centre = mu_y - mu_x / s.
    """

    centre: Mean
    image_mean: Mean

    result = SetMean

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        text, image = statistics.text, statistics.check_spread()
        scale = np.sqrt(image.trace / text.trace)
        return cls(text.mean - image.mean / scale, image.mean)

    def measure(self, vectors: Vectors) -> SetMean:
        """The mean of e' over all text representations, without computing each e'.

        |y - centre|² = |y|² - 2 y centre + |centre|², and the sum of e' is a weighted sum of y minus a multiple of the
        centre: two matrix-vector products, in float64 because of cancellation.
        """
        total, sum_of_weights = np.zeros(len(self.centre)), 0.0
        square = float(self.centre @ self.centre)
        for start, exact in exact_blocks(vectors):
            squares = np.vecdot(exact, exact) - 2 * (exact @ self.centre) + square
            with at_rows(range(start, start + len(exact))):
                weights = 1 / checked(np.sqrt(squares.clip(0)))
            total += weights @ exact
            sum_of_weights += float(weights.sum())
        return SetMean(len(vectors), (total - sum_of_weights * self.centre) / max(1, len(vectors)))


@TRANSFERS.register("realign")
@dataclass(frozen=True)
class Realign(Transfer):
    """`realign`: e' = N(mu_x + s (y - mu_y)), s = sqrt(T_x / T_y); v = N(e' - E[e'] + mu_x); x is unchanged.

    ReAlign, in ReVision (2602.07026). E[e'] is over all text representations, which takes a separate pass.
    """

    alignment: Alignment
    aligned_mean: Mean

    formula = "e = N(mean(x) + s (u - mean(u))), v = N(e - mean(e) + mean(x)), s² = E|x - mean(x)|² / E|u - mean(u)|²"
    needs_images = True
    first_pass = Alignment
    card_text = TO_IMAGES

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        if not isinstance(statistics.first, SetMean):
            raise ValueError("realign also needs the mean of the aligned text representations")
        return cls(Alignment.fit(statistics), statistics.first.mean)

    def mover(self, ids: Sequence[str] | None) -> Move:
        gap = (self.aligned_mean - self.alignment.image_mean).astype(np.float32)

        def shift_again(block: Block, _: int) -> None:
            normalise(block)
            block -= gap
            normalise(block)

        return shift(self.alignment.centre, shift_again)
