"""Back from a published set's vectors to the encoder's, where the transfer lost nothing but a length.

An encoder's vector y is of unit norm. Where v = N(y - c) with a known centre c, y = c + t v with the one t > 0 that
gives it unit norm: |c + t v| = 1 has one such root where |c| < 1.
"""

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.representations.transfers import C3, Identity, MeanShift, MeanShiftRaw, MeanShiftToImage, Transfer

Exact = NDArray[np.float64]


def recovered(transfer: Transfer, vectors: Exact) -> Exact | None:
    """The text representations that `transfer` made `vectors` of, (rows, dimensions), but for rounding.

    None where they do not follow from it: `c3` adds noise, `per_dimension` and `realign` stretch.
    """
    match transfer:
        case Identity():
            return vectors
        case C3():
            return None
        case MeanShiftRaw():
            return vectors + transfer.text_mean
        case MeanShift():
            return _from_centre(vectors, transfer.text_mean)
        case MeanShiftToImage():
            return _from_centre(vectors, transfer.text_mean - transfer.image_mean)
    return None


def _from_centre(vectors: Exact, centre: NDArray[np.float64]) -> Exact | None:
    square = float(centre @ centre)
    if square >= 1:
        return None
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    along = unit @ centre
    lengths = np.sqrt(np.square(along) + 1 - square) - along
    recovered: Exact = centre + lengths[:, None] * unit
    return recovered
