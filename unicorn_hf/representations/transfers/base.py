"""The base class of transfers, and their shared arithmetic.

y is a unit-norm text representation, x a unit-norm image representation, mu_y and mu_x the means of their sets, sd_y
and sd_x their standard deviations per dimension, T_y and T_x their traces (mean squared distance from the mean). N(.)
divides by the L2 norm. Text and image sets need not be paired.

All is computed in blocks of rows, in float32, except `aniso_align` and `barycentric`, which need float64; in float32,
means are subtracted in two parts, to keep their float64 precision. The result for a row depends only on that row (and,
for `c3`, on its id), not on other rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.representations.moments import Covariance, Moments, Part
from unicorn_hf.representations.rows import NO_DIRECTION, RowError, Vectors, at_rows, blocks, copy_numbers
from unicorn_hf.representations.sample import Sample

Array = TypeVar("Array")
"""A NumPy array or a torch tensor; the result has the type of the argument."""
Real = TypeVar("Real", np.float32, np.float64)
Mean = NDArray[np.float64]
Exact = NDArray[np.float64]
Block = NDArray[np.float32]
Stored = Literal["float16", "float32"]
Tensors = Mapping[str, NDArray[Any]]
Move = Callable[[Block, int], object]
"""Changes a block of rows in place; the number is that of its first row."""

NUM_VECTORS = 10_000
"""Vectors of each side that a transfer is fitted to, at most."""
TO_IMAGES = "moved to the region of the encoder's images"
"""`card_text` of transfers to the image space."""
_FALLBACK = "mean_shift"
_ADVICE = "A single row, or equal rows, are their own mean: use --transfer none to keep them."


@dataclass(frozen=True)
class TransferStatistics:
    """The data to which a transfer is fitted."""

    text: Moments
    image: Moments | None = None
    """A `Covariance`, unless the image statistics are of an older version."""
    first: Part | None = None
    """For transfers of two passes: the result of the first pass over all text representations."""
    seed: int = 0
    """For noise."""
    image_vectors: Sample | None = None
    """For transfers that use some."""

    @property
    def image_covariance(self) -> Covariance | None:
        """The image side, if it is a covariance."""
        return self.image if isinstance(self.image, Covariance) else None

    @property
    def known_image(self) -> Moments:
        """
        Raises:
            InputError: the image side is unknown, or has another dimension.
        """
        if self.image is None:
            raise InputError(
                "this transfer needs image statistics, but there are none",
                f"Make them with `unicorn-hf calibrate`, or use --transfer {_FALLBACK}, which needs no images.",
            )
        if self.image.dim != self.text.dim:
            raise InputError(
                f"the image statistics have {self.image.dim} dimensions, the text vectors have {self.text.dim}",
                "Both sides must come from the same encoder.",
            )
        return self.image

    def check_spread(self) -> Moments:
        """Check that neither the texts' vectors nor the images' are all equal; return `known_image`.

        Raises:
            InputError: they are; or see `known_image`.
        """
        image = self.known_image
        self.text.check_spread("the text vectors")
        image.check_spread("the image representations")
        return image

    def identity(self, *, image: bool) -> str:
        """Fingerprint of the statistics; with the image side only if `image`."""
        sides = [self.text, self.image if image else None, self.first]
        vectors = [self.image_vectors.identity] if image and self.image_vectors else []
        return fingerprint([side.identity if side else None for side in sides], self.seed, *vectors)


class FirstPass(ABC):
    """The first of two passes of a transfer over all text representations. Objects are pickled and sent to workers."""

    result: ClassVar[type[Part]]
    """What it computes."""
    rows_per_part: ClassVar[int] = 1
    """Minimum number of rows of a part, since a part is a file."""

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        """
        Raises:
            InputError: see `Transfer.fit`.
        """
        statistics.check_spread()
        return cls()

    @abstractmethod
    def measure(self, vectors: Vectors) -> Part:
        """The result for these rows."""


class Transfer(ABC):
    """Both sides of a transfer. Arrays have the shape (rows, dimensions) and hold unit vectors.

    A transfer is a class, registered in `core.choices.TRANSFERS` under its name in recipes. The class attributes
    describe it to other parts of the program; only `formula` has no default.
    """

    formula: ClassVar[str]
    """How v is computed from a text's u, for the card and the documentation: `v = N(u - mean(u))`. x is an image's
    vector."""
    image_formula: ClassVar[str] = "x"
    """The result for an image's x at inference; `x` if it is unchanged."""
    needs_images: ClassVar[bool] = False
    """Whether fitting requires image statistics."""
    fallback: ClassVar[str] = _FALLBACK
    """The transfer that replaces it if it needs image statistics and there are none."""
    unit_norm: ClassVar[bool] = True
    """Whether its vectors have unit norm, which `validate` then checks."""
    moves_texts: ClassVar[bool] = True
    """Whether it changes text vectors. If so, it needs at least two different captions."""
    first_pass: ClassVar[type[FirstPass] | None] = None
    """The first of two passes: its result is `TransferStatistics.first`."""
    num_image_vectors: ClassVar[int] = 0
    """Number of image vectors that fitting uses at most: `TransferStatistics.image_vectors`."""
    min_image_vectors: ClassVar[int] = 0
    """Number of different image vectors that it needs."""
    is_trained: ClassVar[bool] = False
    """Whether fitting takes long: its result, `tensors`, is then stored, in the work folder and in the data set."""
    train_noise: ClassVar[float] = 0.0
    """Recommended L2 norm of the noise that training adds to each vector, fresh in each step."""
    card_text: ClassVar[str] = "moved"
    """For the card, in Markdown; continues "the values are the text vectors of the captions, ..."."""
    card_image: ClassVar[str] = "move real images in the same way"
    """For the card; continues "at inference, ...". Unused if images are unchanged."""
    card_code: ClassVar[str] = ""
    """For the card, if the transfer subtracts the images' mean: Python expression of the result from `shifted`."""

    @property
    def name(self) -> str:
        """Its name in recipes."""
        return TRANSFERS.name_of(type(self))

    @classmethod
    @abstractmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        """
        Raises:
            InputError: the statistics are incomplete, or all vectors are equal.
        """

    @classmethod
    def check_images(cls, covariance: Covariance | None, vectors: Sample | None) -> None:
        """Check that fitting will be possible with this image side; a build calls it before it begins.

        Raises:
            InputError: something is missing.
        """
        if not cls.min_image_vectors:
            return
        name = TRANSFERS.name_of(cls)
        if vectors is None:
            raise InputError(
                f"{name} is fitted to image vectors, but the image statistics contain none",
                f"Keep some: unicorn-hf calibrate --keep-vectors {NUM_VECTORS}",
            )
        if len(vectors.vectors) < cls.min_image_vectors:
            raise InputError(
                f"{name} needs {cls.min_image_vectors} different image vectors or more, but the image statistics"
                f" contain {len(vectors.vectors)}",
                "Pass more images, and more --keep-vectors, to `unicorn-hf calibrate`: thousands if possible.",
            )

    @property
    def tensors(self) -> Tensors:
        """The result of a training, for `restored`."""
        return {}

    @classmethod
    def restored(cls, statistics: TransferStatistics, tensors: Tensors) -> Self:
        """The transfer that had these `tensors`, from the same statistics.

        Raises:
            InputError: see `fit`.
            KeyError, ValueError: tensors are missing or damaged.
        """
        return cls.fit(statistics)

    @abstractmethod
    def mover(self, ids: Sequence[str] | None) -> Move:
        """A function that moves text vectors in place, block by block. `ids` of the rows seed their noise."""

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        """Move text vectors to the image space, rounded to `dtype`.

        Args:
            vectors: the text vectors; not changed.
            ids: of the rows, which seed the noise of `c3`.
            dtype: of the result.

        Raises:
            RowError: a row has no direction before or after the transfer.
        """
        move, moved = self.mover(ids), np.empty(vectors.shape, dtype=dtype)
        room = np.empty((0, vectors.shape[1]), dtype=np.float32)
        for start, block in blocks(vectors):
            rows = moved[start : start + len(block)]
            if len(room) < len(block):
                room = np.empty(block.shape, dtype=np.float32)
            # Rows of another type are moved in a buffer that stays in the core's cache.
            single = rows if rows.dtype == np.float32 else room[: len(block)]
            copy_numbers(block, single)
            with at_rows(range(start, start + len(block))):
                if len(single) == 1:
                    # The product of a single row and a matrix is summed in another order than that of several rows.
                    twice = np.repeat(single, 2, axis=0)
                    move(twice, start)
                    single[:] = twice[:1]
                else:
                    move(single, start)
            if single is not rows:
                copy_numbers(single, rows)
        return moved

    def apply_image(self, vectors: Array) -> Array:
        """Move vectors of real images to the space of the moved text vectors, for inference.

        Takes and returns NumPy arrays or torch tensors, of any leading shape.
        """
        return vectors

    def recovered(self, vectors: Exact) -> Exact | None:
        """Invert the transfer: the text vectors before it, up to rounding.

        None if it is not invertible: with noise, or with scaled dimensions.
        """
        return None


def normalise(block: Block, _: int = 0) -> None:
    """Divide rows by their norms, in place; raises as `checked`."""
    block *= (1 / norms(block))[:, None]


def unit_rows(rows: Exact) -> Exact:
    """The rows, divided by their norms; raises as `checked`."""
    unit: Exact = rows / checked(np.linalg.norm(rows, axis=1))[:, None]
    return unit


def norms(block: Block, _: int = 0) -> NDArray[np.float32]:
    """The rows' L2 norms; raises as `checked`."""
    return checked(np.sqrt(np.vecdot(block, block)))


def shift(centre: Mean, then: Move = normalise) -> Move:
    """Subtract the centre from a block of rows, with the precision of float64, and pass the block to `then`."""
    # Two float32 parts, one after the other.
    high = centre.astype(np.float32)
    low = (centre - high).astype(np.float32)

    def move(block: Block, start: int) -> None:
        block -= high
        block -= low
        then(block, start)

    return move


def checked(norms: NDArray[Real]) -> NDArray[Real]:
    """
    Raises:
        RowError: a norm is almost zero, or not finite: the row has no direction.
    """
    bad = np.flatnonzero(~(norms > NO_DIRECTION) | ~np.isfinite(norms))
    if len(bad):
        reason = f"the vector has no direction before or after the transfer (norm {norms[bad[0]]})"
        raise RowError(reason, _ADVICE, row=int(bad[0]))
    return norms


def from_centre(vectors: Exact, centre: Mean) -> Exact | None:
    """The unit vectors y with v = N(y - centre).

    y = centre + t v with the unique t > 0 for which y has unit norm: |centre + t v| = 1 has one positive root if
    |centre| < 1; otherwise the result is None.
    """
    square = float(centre @ centre)
    if square >= 1:
        return None
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    along = unit @ centre
    lengths = np.sqrt(np.square(along) + 1 - square) - along
    recovered: Exact = centre + lengths[:, None] * unit
    return recovered
