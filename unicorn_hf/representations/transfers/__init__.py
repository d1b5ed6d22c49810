"""Modality representation transfer: text representations become synthetic image representations.

A file for each transfer; the class in it is all that there is to a transfer. `base` has what they share.
"""

from unicorn_hf.core.choices import TRANSFERS

# In the order in which they are listed everywhere. A module that is not named here is found too, after these.
# isort: off
from unicorn_hf.representations.transfers.none import Identity
from unicorn_hf.representations.transfers.mean_shift import MeanShift
from unicorn_hf.representations.transfers.mean_shift_raw import MeanShiftRaw
from unicorn_hf.representations.transfers.mean_shift_to_image import MeanShiftToImage
from unicorn_hf.representations.transfers.c3 import C3
from unicorn_hf.representations.transfers.per_dimension import PerDimension
from unicorn_hf.representations.transfers.realign import Alignment, Realign
from unicorn_hf.representations.transfers.base import FirstPass, Transfer, TransferStatistics
# isort: on

__all__ = [
    "C3",
    "Alignment",
    "FirstPass",
    "Identity",
    "MeanShift",
    "MeanShiftRaw",
    "MeanShiftToImage",
    "PerDimension",
    "Realign",
    "Transfer",
    "TransferStatistics",
    "fit",
]


def fit(name: str, statistics: TransferStatistics) -> Transfer:
    """The transfer of this name, fitted.

    Raises:
        InputError: there is no such transfer; or see `Transfer.fit`.
    """
    return TRANSFERS.get(name).fit(statistics)
