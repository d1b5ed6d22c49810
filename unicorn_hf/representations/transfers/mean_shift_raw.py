"""The mean shift of Unicorn's first code release."""

from dataclasses import dataclass

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.transfers.base import Exact
from unicorn_hf.representations.transfers.mean_shift import MeanShift


@TRANSFERS.register("mean_shift_raw")
@dataclass(frozen=True)
class MeanShiftRaw(MeanShift):
    """`mean_shift_raw`: v = y - mu_y, at inference x - mu_x, both not normalised: Unicorn's first code release."""

    formula = "v = u - mean(u)"
    image_formula = "x - mean(x)"
    unit_norm = False
    card_text = "with their mean subtracted, not scaled back to unit length: *v* = *u* − mean(*u*)"
    card_code = "shifted"

    def recovered(self, vectors: Exact) -> Exact:
        return vectors + self.text_mean
