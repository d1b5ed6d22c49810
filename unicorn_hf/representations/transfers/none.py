"""No transfer: the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.transfers.base import Exact, Move, Transfer, TransferStatistics


@TRANSFERS.register("none")
@dataclass(frozen=True)
class Identity(Transfer):
    """`none`: v = y; x is unchanged."""

    formula = "v = u"
    moves_texts = False
    card_text = "unchanged, of unit norm, without a transfer"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        return cls()

    def mover(self, ids: Sequence[str] | None) -> Move:
        return lambda *_: None

    def recovered(self, vectors: Exact) -> Exact:
        return vectors
