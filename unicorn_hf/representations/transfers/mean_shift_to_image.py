"""A shift by the gap between the means, which moves texts to where images are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.transfers.base import (
    TO_IMAGES,
    Exact,
    Mean,
    Move,
    Transfer,
    TransferStatistics,
    from_centre,
    shift,
)


@TRANSFERS.register("mean_shift_to_image")
@dataclass(frozen=True)
class MeanShiftToImage(Transfer):
    """`mean_shift_to_image`: v = N(y - mu_y + mu_x); x is unchanged, since v is in its space.

    The shift by the mean gap of Liang et al., Mind the Gap (2203.02053), section 4.
    """

    text_mean: Mean
    image_mean: Mean

    formula = "v = N(u - mean(u) + mean(x))"
    needs_images = True
    card_text = TO_IMAGES

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        statistics.text.check_spread("the text vectors")
        return cls(statistics.text.mean, statistics.known_image.mean)

    def mover(self, ids: Sequence[str] | None) -> Move:
        return shift(self.text_mean - self.image_mean)

    def recovered(self, vectors: Exact) -> Exact | None:
        return from_centre(vectors, self.text_mean - self.image_mean)
