"""Each dimension of the texts gets the images' mean and standard deviation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.transfers.base import (
    TO_IMAGES,
    Block,
    Mean,
    Move,
    Transfer,
    TransferStatistics,
    normalise,
    shift,
)


@TRANSFERS.register("per_dimension")
@dataclass(frozen=True)
class PerDimension(Transfer):
    """`per_dimension`: v = N((y - mu_y) * sd_x / sd_y + mu_x); x is unchanged.

    A dimension in which all texts are equal gets mu_x.
    """

    text_mean: Mean
    image_mean: Mean
    scale: Mean
    """sd_x / sd_y."""

    formula = "v = N((u - mean(u)) sd(x) / sd(u) + mean(x))"
    needs_images = True
    card_text = TO_IMAGES

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        text, image = statistics.text, statistics.check_spread()
        spread = np.sqrt(text.variance)
        # Do not amplify rounding errors in a dimension where all texts are equal.
        flat = spread <= 1e-7 * np.sqrt(text.trace)
        scale = np.where(flat, 0, np.sqrt(image.variance) / np.where(flat, 1, spread))
        return cls(text.mean, image.mean, scale)

    def mover(self, ids: Sequence[str] | None) -> Move:
        scale, image_mean = self.scale.astype(np.float32), self.image_mean.astype(np.float32)

        def rescale(block: Block, _: int) -> None:
            block *= scale
            block += image_mean
            normalise(block)

        return shift(self.text_mean, rescale)
