"""Modality representation transfer: text representations become synthetic image representations.

y is a unit-norm text representation, x a unit-norm image representation, mu_y and mu_x the means of their sets, sd_y
and sd_x their deviations per dimension, T_y and T_x their traces (mean squared distance from the mean). N(.) divides by
the L2 norm. Text and image sets need not be paired.

All is computed in float32, row by row, block by block; means are taken away in two parts, so that nothing of their
float64 digits is lost. A row's result depends on that row (and, for `c3`, its id) alone, whatever the rows beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe import TransferName
from unicorn_hf.representations.arrays import moved_images
from unicorn_hf.representations.moments import Moments, SetMean
from unicorn_hf.representations.rows import RowError, Vectors, blocks, copy_numbers, exact_blocks, rows_from

Array = TypeVar("Array")
"""A NumPy array or a torch tensor: what is given is what comes back."""
Real = TypeVar("Real", np.float32, np.float64)
Mean = NDArray[np.float64]
Block = NDArray[np.float32]
Stored = Literal["float16", "float32"]
Move = Callable[[Block, int], None]
"""Changes a block of rows in place; told the number of its first row."""

NO_DIRECTION = 1e-6
"""A norm that is not told from the rounding of a unit vector's float32 numbers."""
_ADVICE = "One row alone, or rows that are all equal, are their own mean: --transfer none keeps them."


@dataclass(frozen=True)
class TransferStatistics:
    """What a transfer is fitted to."""

    text: Moments
    image: Moments | None = None
    aligned: SetMean | None = None
    """For `realign`: of all text representations, aligned. See `Alignment`."""
    seed: int = 0
    """For `c3`'s noise."""

    @property
    def known_image(self) -> Moments:
        """
        Raises:
            InputError: the image side is not known, or has another dimension.
        """
        if self.image is None:
            raise InputError(
                "this transfer needs the statistics of images, and none are known",
                "Make them with `unicorn-hf calibrate`, or take --transfer mean_shift, which needs no image.",
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


class Transfer(Protocol):
    """Both sides of a transfer. Arrays have the shape (rows, dimensions) and hold unit vectors.

    `apply_text` raises a `RowError` where a row has no direction before or after.
    """

    name: ClassVar[TransferName]

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> "Transfer":
        """
        Raises:
            InputError: the statistics lack what the transfer needs, or leave nothing to transfer.
        """
        ...

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        """Text representations to synthetic image representations, rounded to the nearest numbers of `dtype`.

        `ids` name the rows, which `c3`'s noise needs.
        """
        ...

    def apply_image(self, vectors: Array) -> Array:
        """Real images' representations to the space that the synthetic ones live in: for inference.

        Takes and returns NumPy arrays or torch tensors, of any leading shape.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """`none`: v = y, and x as it is. The baseline."""

    name: ClassVar[TransferName] = "none"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        return cls()

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        return _by_blocks(vectors, lambda *_: None, dtype)

    def apply_image(self, vectors: Array) -> Array:
        return vectors


@dataclass(frozen=True)
class MeanShift:
    """`mean_shift`: v = N(y - mu_y); at inference N(x - mu_x). Unicorn (2503.22655), section 3.3.

    Needs no image to make the data. Where mu_x is not known, the mean of the images at hand stands in for it.
    """

    text_mean: Mean
    image_mean: Mean | None = None
    name: ClassVar[TransferName] = "mean_shift"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        statistics.text.check_spread("the text representations")
        return cls(statistics.text.mean, statistics.image.mean if statistics.image else None)

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        centre = _Centre(self.text_mean)

        def move(block: Block, _: int) -> None:
            centre.take_from(block)
            _normalise(block)

        return _by_blocks(vectors, move, dtype)

    def apply_image(self, vectors: Array) -> Array:
        return moved_images(vectors, self.image_mean, unit=True)


@dataclass(frozen=True)
class MeanShiftRaw(MeanShift):
    """`mean_shift_raw`: v = y - mu_y, at inference x - mu_x, neither normalised again: Unicorn's first code release."""

    name: ClassVar[TransferName] = "mean_shift_raw"

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        centre = _Centre(self.text_mean)

        def move(block: Block, _: int) -> None:
            centre.take_from(block)
            _norms(block)

        return _by_blocks(vectors, move, dtype)

    def apply_image(self, vectors: Array) -> Array:
        return moved_images(vectors, self.image_mean, unit=False)


@dataclass(frozen=True)
class MeanShiftToImage:
    """`mean_shift_to_image`: v = N(y - mu_y + mu_x); x as it is, since v is in its space.

    The shift by the mean gap of Liang et al., Mind the Gap (2203.02053), section 4.
    """

    text_mean: Mean
    image_mean: Mean
    name: ClassVar[TransferName] = "mean_shift_to_image"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        statistics.text.check_spread("the text representations")
        return cls(statistics.text.mean, statistics.known_image.mean)

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        gap = _Centre(self.text_mean - self.image_mean)

        def move(block: Block, _: int) -> None:
            gap.take_from(block)
            _normalise(block)

        return _by_blocks(vectors, move, dtype)

    def apply_image(self, vectors: Array) -> Array:
        return vectors


@dataclass(frozen=True)
class C3(MeanShift):
    """`c3`: v = N(N(y) - mu_y + s eps), s = sqrt(0.016), eps ~ N(0, I); at inference N(x - mu_x).

    Zhang et al., Connect, Collapse, Corrupt (2401.08567). A row's noise is drawn from a Philox generator keyed by the
    seed and the row's id: it is the same in whatever shard or worker the row is, and in both configs.
    """

    seed: int = 0
    name: ClassVar[TransferName] = "c3"
    NOISE_VARIANCE: ClassVar[float] = 0.016

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        statistics.text.check_spread("the text representations")
        image_mean = statistics.image.mean if statistics.image else None
        return cls(statistics.text.mean, image_mean, statistics.seed)

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        if ids is None or len(ids) != len(vectors):
            raise InputError("c3 draws a row's noise by the row's id", "Give apply_text an id for each row.")
        names, centre, scale = ids, _Centre(self.text_mean), np.float32(self.NOISE_VARIANCE**0.5)

        def move(block: Block, start: int) -> None:
            _normalise(block)
            centre.take_from(block)
            for row, name in enumerate(names[start : start + len(block)]):
                block[row] += scale * self.noise(name, block.shape[1])
            _normalise(block)

        return _by_blocks(vectors, move, dtype)

    def noise(self, row_id: str, dim: int) -> NDArray[np.float32]:
        """eps of a row."""
        key = stable_int("c3", str(self.seed), row_id)
        return np.random.Generator(np.random.Philox(key=key)).standard_normal(dim, dtype=np.float32)


@dataclass(frozen=True)
class PerDimension:
    """`per_dimension`: v = N((y - mu_y) * sd_x / sd_y + mu_x); x as it is.

    Each dimension gets the image side's mean and deviation. A dimension in which no text differs stays at mu_x.
    """

    text_mean: Mean
    image_mean: Mean
    scale: Mean
    """sd_x / sd_y."""
    name: ClassVar[TransferName] = "per_dimension"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        text, image = statistics.text, statistics.known_image
        text.check_spread("the text representations")
        image.check_spread("the image representations")
        spread = np.sqrt(text.variance)
        # What is left of rounding in a dimension where all texts are equal is nothing to stretch.
        flat = spread <= 1e-7 * np.sqrt(text.trace)
        scale = np.where(flat, 0, np.sqrt(image.variance) / np.where(flat, 1, spread))
        return cls(text.mean, image.mean, scale)

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        centre, image_mean = _Centre(self.text_mean), self.image_mean.astype(np.float32)
        scale = self.scale.astype(np.float32)

        def move(block: Block, _: int) -> None:
            centre.take_from(block)
            block *= scale
            block += image_mean
            _normalise(block)

        return _by_blocks(vectors, move, dtype)

    def apply_image(self, vectors: Array) -> Array:
        return vectors


@dataclass(frozen=True)
class Alignment:
    """The first part of `realign`: e' = N(mu_x + s (y - mu_y)), s = sqrt(T_x / T_y).

    N(.) does not see a positive factor, so e' = N(y - centre) with the one vector centre = mu_y - mu_x / s.
    """

    centre: Mean
    image_mean: Mean

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        text, image = statistics.text, statistics.known_image
        text.check_spread("the text representations")
        image.check_spread("the image representations")
        scale = np.sqrt(image.trace / text.trace)
        return cls(text.mean - image.mean / scale, image.mean)

    def mean(self, vectors: Vectors) -> SetMean:
        """The mean of the rows' e', without making them: what `realign` needs of all text representations.

        |y - centre|² = |y|² - 2 y centre + |centre|², and the sum of e' is a weighted sum of y less a part of the
        centre: two products of a matrix with a vector. In float64, which makes up for what cancels.
        """
        total, sum_of_weights = np.zeros(len(self.centre)), 0.0
        square = float(self.centre @ self.centre)
        for start, exact in exact_blocks(vectors):
            squares = np.vecdot(exact, exact) - 2 * (exact @ self.centre) + square
            with rows_from(start):
                weights = 1 / _checked(np.sqrt(squares.clip(0)))
            total += weights @ exact
            sum_of_weights += float(weights.sum())
        return SetMean(len(vectors), (total - sum_of_weights * self.centre) / max(1, len(vectors)))


@dataclass(frozen=True)
class Realign:
    """`realign`: e' = N(mu_x + s (y - mu_y)), s = sqrt(T_x / T_y); v = N(e' - E[e'] + mu_x); x as it is.

    ReAlign, in ReVision (2602.07026). E[e'] is over all text representations: a pass of its own.
    """

    alignment: Alignment
    aligned_mean: Mean
    name: ClassVar[TransferName] = "realign"

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        if statistics.aligned is None:
            raise ValueError("realign is fitted to the mean of the aligned text representations too")
        return cls(Alignment.fit(statistics), statistics.aligned.mean)

    def apply_text(self, vectors: Vectors, ids: Sequence[str] | None = None, dtype: Stored = "float32") -> Vectors:
        first = _Centre(self.alignment.centre)
        second = (self.aligned_mean - self.alignment.image_mean).astype(np.float32)

        def move(block: Block, _: int) -> None:
            first.take_from(block)
            _normalise(block)
            block -= second
            _normalise(block)

        return _by_blocks(vectors, move, dtype)

    def apply_image(self, vectors: Array) -> Array:
        return vectors


_ALL: tuple[type[Transfer], ...] = (
    Identity, MeanShift, MeanShiftRaw, MeanShiftToImage, C3, PerDimension, Realign,
)  # fmt: skip
TRANSFERS: dict[TransferName, type[Transfer]] = {kind.name: kind for kind in _ALL}
NEED_IMAGES: frozenset[TransferName] = frozenset(("mean_shift_to_image", "per_dimension", "realign"))
"""Transfers that cannot be fitted without the image side's statistics."""
FALLBACK: TransferName = "mean_shift"
"""What stands in for these where the image side is not known."""


def fit(name: TransferName, statistics: TransferStatistics) -> Transfer:
    """The transfer of this name, fitted.

    Raises:
        InputError: see `Transfer.fit`.
    """
    return TRANSFERS[name].fit(statistics)


class _Centre:
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


def _normalise(block: Block) -> None:
    block *= (1 / _norms(block))[:, None]


def _norms(block: Block) -> NDArray[np.float32]:
    return _checked(np.sqrt(np.vecdot(block, block)))


def _checked(norms: NDArray[Real]) -> NDArray[Real]:
    """
    Raises:
        RowError: a norm is zero, or nearly, or not finite: the row has no direction.
    """
    bad = np.flatnonzero(~(norms > NO_DIRECTION) | ~np.isfinite(norms))
    if len(bad):
        reason = f"the vector has no direction before or after the transfer (norm {norms[bad[0]]})"
        raise RowError(reason, _ADVICE, row=int(bad[0]))
    return norms
