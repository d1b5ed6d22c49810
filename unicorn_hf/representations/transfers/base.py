"""What a transfer is, and the arithmetic that transfers share.

y is a unit-norm text representation, x a unit-norm image representation, mu_y and mu_x the means of their sets, sd_y
and sd_x their deviations per dimension, T_y and T_x their traces (mean squared distance from the mean). N(.) divides by
the L2 norm. Text and image sets need not be paired.

All is computed in float32, row by row, block by block; means are taken away in two parts, so that nothing of their
float64 digits is lost. A row's result depends on that row (and, for `c3`, its id) alone, whatever the rows beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.representations.moments import Moments, SetMean
from unicorn_hf.representations.rows import RowError, Vectors, blocks, copy_numbers, rows_from

Array = TypeVar("Array")
"""A NumPy array or a torch tensor: what is given is what comes back."""
Real = TypeVar("Real", np.float32, np.float64)
Mean = NDArray[np.float64]
Exact = NDArray[np.float64]
Block = NDArray[np.float32]
Stored = Literal["float16", "float32"]
Move = Callable[[Block, int], None]
"""Changes a block of rows in place; told the number of its first row."""

NO_DIRECTION = 1e-6
"""A norm that is not told from the rounding of a unit vector's float32 numbers."""
TO_IMAGES = "moved to where the encoder's images are"
"""A transfer's `card_text` that says so."""
_FALLBACK = "mean_shift"
_ADVICE = "One row alone, or rows that are all equal, are their own mean: --transfer none keeps them."


@dataclass(frozen=True)
class TransferStatistics:
    """What a transfer is fitted to."""

    text: Moments
    image: Moments | None = None
    aligned: SetMean | None = None
    """For transfers of two passes: the mean that the first pass gave, over all text representations."""
    seed: int = 0
    """For noise."""

    @property
    def known_image(self) -> Moments:
        """
        Raises:
            InputError: the image side is not known, or has another dimension.
        """
        if self.image is None:
            raise InputError(
                "this transfer needs the statistics of images, and none are known",
                f"Make them with `unicorn-hf calibrate`, or take --transfer {_FALLBACK}, which needs no image.",
            )
        if self.image.dim != self.text.dim:
            raise InputError(
                f"the image statistics have {self.image.dim} dimensions, the text representations {self.text.dim}",
                "Both sides must come from the same encoder.",
            )
        return self.image

    def identity(self, *, image: bool) -> str:
        """Fingerprint of the statistics; of the image side's only if asked."""
        sides = [self.text, self.image if image else None, self.aligned]
        return fingerprint([side.identity if side else None for side in sides], self.seed)


class FirstPass(Protocol):
    """What a transfer of two passes does in the first: it moves all text representations, and takes their mean."""

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> "FirstPass":
        """
        Raises:
            InputError: as of `Transfer.fit`.
        """
        ...

    def mean(self, vectors: Vectors) -> SetMean:
        """The mean of some rows, moved. Pickled objects of this class go to workers."""
        ...


class Transfer(ABC):
    """Both sides of a transfer. Arrays have the shape (rows, dimensions) and hold unit vectors.

    A transfer is a class, registered in `core.choices.TRANSFERS` under the name that recipes call it by. The class
    attributes say what other parts need to know of it; only `formula` has no default.
    """

    formula: ClassVar[str]
    """How v is made of a text's u, for the card and the documentation: `v = N(u - mean(u))`. x is an image's vector."""
    image_formula: ClassVar[str] = "x"
    """What becomes of an image's x at inference; `x` where it stays as it is."""
    needs_images: ClassVar[bool] = False
    """Whether it cannot be fitted without the statistics of images."""
    fallback: ClassVar[str] = _FALLBACK
    """The transfer that stands in for it where it needs images and none are known."""
    unit_norm: ClassVar[bool] = True
    """Whether its vectors have unit norm, which `validate` then checks."""
    moves_texts: ClassVar[bool] = True
    """False if texts stay as the encoder gives them. One that moves them takes two captions or more, which differ."""
    first_pass: ClassVar[type[FirstPass] | None] = None
    """For a transfer of two passes: its mean, over all text representations, is `TransferStatistics.aligned`."""
    card_text: ClassVar[str] = "moved"
    """For the card, in Markdown: the vectors are text representations of captions, ..."""
    card_image: ClassVar[str] = "move real images in the same way"
    """For the card: at inference, ... Not needed where images stay as they are."""
    card_code: ClassVar[str] = ""
    """For the card, of transfers that take the images' mean away: Python that makes the result of `shifted`."""

    @property
    def name(self) -> str:
        """What recipes call it."""
        return TRANSFERS.name_of(type(self))

    @classmethod
    @abstractmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        """
        Raises:
            InputError: the statistics lack what the transfer needs, or leave nothing to transfer.
        """

    @abstractmethod
    def mover(self, ids: Sequence[str] | None) -> Move:
        """What moves text representations, block by block, in place. `ids` name the rows, for noise of their own."""

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        """Text representations to synthetic image representations, rounded to the nearest numbers of `dtype`.

        Args:
            vectors: the representations; they stay as they are.
            ids: name the rows, which `c3`'s noise needs.
            dtype: of the result.

        Raises:
            RowError: a row has no direction before or after.
        """
        return _by_blocks(vectors, self.mover(ids), dtype)

    def apply_image(self, vectors: Array) -> Array:
        """Real images' representations to the space that the synthetic ones live in: for inference.

        Takes and returns NumPy arrays or torch tensors, of any leading shape.
        """
        return vectors

    def recovered(self, vectors: Exact) -> Exact | None:
        """The text representations that these vectors of a set were made of, but for rounding.

        None where they do not follow from the vectors: after noise, or where dimensions were stretched.
        """
        return None


class Centre:
    """A float64 mean as two float32 parts: taken away one after the other, they leave what float64 would."""

    def __init__(self, mean: Mean) -> None:
        self._high = mean.astype(np.float32)
        self._low = (mean - self._high).astype(np.float32)

    def take_from(self, block: Block) -> None:
        block -= self._high
        block -= self._low


def _by_blocks(vectors: Vectors, move: Move, dtype: Stored) -> Vectors:
    """The rows, moved block by block in float32, and rounded to `dtype`; `vectors` stay as they are."""
    moved = np.empty(vectors.shape, dtype=dtype)
    room = np.empty((0, vectors.shape[1]), dtype=np.float32)
    for start, block in blocks(vectors):
        rows = moved[start : start + len(block)]
        if len(room) < len(block):
            room = np.empty(block.shape, dtype=np.float32)
        # What is rounded is moved in room of its own, which stays in the core's cache.
        single = rows if rows.dtype == np.float32 else room[: len(block)]
        copy_numbers(block, single)
        with rows_from(start):
            move(single, start)
        if single is not rows:
            copy_numbers(single, rows)
    return moved


def normalise(block: Block) -> None:
    """Divide rows by their norms, in place.

    Raises:
        RowError: as of `checked`.
    """
    block *= (1 / norms(block))[:, None]


def norms(block: Block) -> NDArray[np.float32]:
    """The rows' L2 norms.

    Raises:
        RowError: as of `checked`.
    """
    return checked(np.sqrt(np.vecdot(block, block)))


def checked(norms: NDArray[Real]) -> NDArray[Real]:
    """
    Raises:
        RowError: a norm is zero, or nearly, or not finite: the row has no direction.
    """
    bad = np.flatnonzero(~(norms > NO_DIRECTION) | ~np.isfinite(norms))
    if len(bad):
        reason = f"the vector has no direction before or after the transfer (norm {norms[bad[0]]})"
        raise RowError(reason, _ADVICE, row=int(bad[0]))
    return norms


def from_centre(vectors: Exact, centre: Mean) -> Exact | None:
    """The unit vectors y of which v = N(y - centre) was made.

    y = centre + t v with the one t > 0 that gives it unit norm: |centre + t v| = 1 has one such root where
    |centre| < 1, and None is returned elsewhere.
    """
    square = float(centre @ centre)
    if square >= 1:
        return None
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    along = unit @ centre
    lengths = np.sqrt(np.square(along) + 1 - square) - along
    recovered: Exact = centre + lengths[:, None] * unit
    return recovered
