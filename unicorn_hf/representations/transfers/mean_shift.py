"""The paper's transfer: the mean of each side is subtracted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.arrays import moved_images
from unicorn_hf.representations.transfers.base import (
    Array,
    Exact,
    Mean,
    Move,
    Transfer,
    TransferStatistics,
    from_centre,
    normalise,
    norms,
    shift,
)


@TRANSFERS.register("mean_shift")
@dataclass(frozen=True)
class MeanShift(Transfer):
    """`mean_shift`: v = N(y - mu_y); at inference N(x - mu_x). Unicorn (2503.22655), section 3.3.

    Making the data needs no images. If mu_x is unknown, the mean of the available images is used at inference.
    """

    text_mean: Mean
    image_mean: Mean | None = None

    formula = "v = N(u - mean(u))"
    image_formula = "N(x - mean(x))"
    card_text = "with their mean subtracted, scaled back to unit length: *v* = N(*u* − mean(*u*))"
    card_image = "do the same to real images"
    card_code = "shifted / np.linalg.norm(shifted, axis=1, keepdims=True)"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        statistics.text.check_spread("the text vectors")
        return cls(statistics.text.mean, statistics.image.mean if statistics.image else None)

    def mover(self, ids: Sequence[str] | None) -> Move:
        return shift(self.text_mean, normalise if self.unit_norm else norms)

    def apply_image(self, vectors: Array) -> Array:
        return moved_images(vectors, self.image_mean, dim=len(self.text_mean), unit=self.unit_norm)

    def recovered(self, vectors: Exact) -> Exact | None:
        return from_centre(vectors, self.text_mean)
