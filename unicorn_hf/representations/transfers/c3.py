"""The mean shift with noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.representations.transfers.base import Block, Exact, Move, Stored, TransferStatistics, normalise, shift
from unicorn_hf.representations.transfers.mean_shift import MeanShift


@TRANSFERS.register("c3")
@dataclass(frozen=True)
class C3(MeanShift):
    """`c3`: v = N(N(y) - mu_y + s eps), s = sqrt(0.016), eps ~ N(0, I); at inference N(x - mu_x).

    Zhang et al., Connect, Collapse, Corrupt (2401.08567). A row's noise is drawn from a Philox generator keyed by the
    seed and the row's id: it does not depend on the shard, the worker or the config.
    """

    seed: int = 0

    NOISE_VARIANCE: ClassVar[float] = 0.016
    formula = "v = N(u - mean(u) + e), e normal noise of variance 0.016"
    card_text = (
        "with their mean subtracted, noise added, and scaled back to unit length: *v* = N(*u* − mean(*u*) + noise)"
    )
    card_image = "do the same to real images, without the noise"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        return replace(super().fit(statistics), seed=statistics.seed)

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        if ids is None or len(ids) != len(vectors):
            raise InputError("c3 seeds the noise of a row with its id", "Pass an id for each row to apply_text.")
        return super().apply_text(vectors, ids, dtype)

    def mover(self, ids: Sequence[str] | None) -> Move:
        names, scale = ids or (), np.float32(self.NOISE_VARIANCE**0.5)

        def add_noise(block: Block, start: int) -> None:
            for row, name in enumerate(names[start : start + len(block)]):
                block[row] += scale * self.noise(name, block.shape[1])
            normalise(block)

        centred = shift(self.text_mean, add_noise)

        def move(block: Block, start: int) -> None:
            normalise(block)
            centred(block, start)

        return move

    def noise(self, row_id: str, dim: int) -> NDArray[np.float32]:
        """The noise eps of a row."""
        key = stable_int("c3", str(self.seed), row_id)
        return np.random.Generator(np.random.Philox(key=key)).standard_normal(dim, dtype=np.float32)

    def recovered(self, vectors: Exact) -> Exact | None:
        return None
