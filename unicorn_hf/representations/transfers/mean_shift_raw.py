"""The mean shift of Unicorn's first code release."""

from collections.abc import Sequence
from dataclasses import dataclass

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.arrays import moved_images
from unicorn_hf.representations.transfers.base import Array, Block, Centre, Exact, Move, norms
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

    def mover(self, ids: Sequence[str] | None) -> Move:
        centre = Centre(self.text_mean)

        def move(block: Block, _: int) -> None:
            centre.take_from(block)
            norms(block)

        return move

    def apply_image(self, vectors: Array) -> Array:
        return moved_images(vectors, self.image_mean, unit=False)

    def recovered(self, vectors: Exact) -> Exact:
        return vectors + self.text_mean
