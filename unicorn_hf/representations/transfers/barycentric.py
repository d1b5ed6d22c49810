"""Each text becomes a weighted mean of the images that are nearest to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfers.base import NUM_VECTORS, Block, Exact, Move, TransferStatistics, unit_rows
from unicorn_hf.representations.transfers.mean_shift import MeanShift


@TRANSFERS.register("barycentric")
@dataclass(frozen=True, eq=False, kw_only=True)
class Barycentric(MeanShift):
    """`barycentric`: v = N(sum of w_j (x_j - mu_x)), w = softmax of cos(y - mu_y, x_j - mu_x) / 0.02; at inference
    N(x - mu_x).

    The x_j are image vectors that `calibrate` kept, of any images: no text belongs to them. It is the barycentric
    mapping of optimal transport for domain adaptation (Courty et al., 1507.00504, section 4), with weights that depend
    on one text alone in place of a transport plan; DeCap (2303.03032) maps images to texts in this way.

    The temperature of 0.02 was chosen from 0.01, 0.02 and 0.05: see docs/decisions/0039.
    """

    image_vectors: Sample
    """In float16, as kept: the transfer is sent to each worker."""

    TEMPERATURE: ClassVar[float] = 0.02
    formula = "v = N(mean(x_j - mean(x))), weighted by softmax(cos(u - mean(u), x_j - mean(x)) / 0.02)"
    needs_images = True
    num_image_vectors = NUM_VECTORS
    min_image_vectors = 2
    train_noise = 1.0
    card_text = (
        "replaced by a mean of centred image vectors, weighted by their similarity to the text, scaled back to unit"
        " length"
    )
    card_image = "subtract the mean of real images, and scale them to unit length"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        image, vectors = statistics.check_spread(), statistics.image_vectors
        cls.check_images(statistics.image_covariance, vectors)
        assert vectors
        return cls(statistics.text.mean, image.mean, image_vectors=vectors)

    def mover(self, ids: Sequence[str] | None) -> Move:
        assert self.image_mean is not None
        # In float32, errors of the cosines would be divided by the temperature.
        images = self.image_vectors.vectors.astype(np.float64) - self.image_mean
        keys = images / np.linalg.norm(images, axis=1, keepdims=True)

        def move(block: Block, _: int) -> None:
            with np.errstate(invalid="ignore"):  # `unit_rows` names a row that is not finite.
                weights = unit_rows(block - self.text_mean) @ keys.T
            weights -= weights.max(axis=1, keepdims=True)
            weights /= self.TEMPERATURE
            np.exp(weights, out=weights)
            # The weights' sum is a factor that normalising removes.
            block[:] = unit_rows(weights @ images)

        return move

    def recovered(self, vectors: Exact) -> Exact | None:
        return None
