"""Modality representation transfer: text representations become synthetic image representations.

Each transfer is one class in one file; `base` has the shared code.
"""

from dataclasses import replace

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.representations.moments import Covariance, Moments
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.representations.sample import Sample

# This order is the one of every list of transfers. Other modules of this package are found too, after these.
# ruff: isort: off
from unicorn_hf.representations.transfers import none, mean_shift, mean_shift_raw  # noqa: F401
from unicorn_hf.representations.transfers import mean_shift_to_image, c3, per_dimension  # noqa: F401
from unicorn_hf.representations.transfers import realign, gaussian_ot, aniso_align, barycentric  # noqa: F401
from unicorn_hf.representations.transfers.base import FirstPass, Transfer, TransferStatistics

__all__ = ["FirstPass", "Transfer", "TransferStatistics", "fit", "fit_to_rows"]


def fit_to_rows(name: str, texts: Vectors, images: Vectors | None = None, seed: int = 0) -> Transfer:
    """Fit the transfer of this name to representations in memory, of the shape (rows, dimensions).

    Args:
        name: of the transfer.
        texts: text representations.
        images: image representations, which need not be paired with the texts.
        seed: for noise.

    Raises:
        InputError: there is no such transfer; or see `Transfer.fit`.
        RowError: a row has no direction.
    """
    transfer = TRANSFERS.get(name)
    statistics = TransferStatistics(Moments.of(texts), seed=seed)
    if images is not None:
        size = transfer.num_image_vectors
        statistics = replace(
            statistics, image=Covariance.of(images), image_vectors=Sample.of(images, size) if size else None
        )
    if first_pass := transfer.first_pass:
        statistics = replace(statistics, first=first_pass.fit(statistics).measure(texts))
    return fit(name, statistics)


def fit(name: str, statistics: TransferStatistics) -> Transfer:
    """Fit the transfer of this name.

    Raises:
        InputError: there is no such transfer; or see `Transfer.fit`.
    """
    return TRANSFERS.get(name).fit(statistics)
