"""Modality representation transfer: text representations become synthetic image representations.

Each transfer is one class in one file; `base` has the shared code.
"""

from unicorn_hf.core.choices import TRANSFERS

# This order is the one of every list of transfers. Other modules of this package are found too, after these.
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
    """Fit the transfer of this name.

    Raises:
        InputError: there is no such transfer; or see `Transfer.fit`.
    """
    return TRANSFERS.get(name).fit(statistics)
