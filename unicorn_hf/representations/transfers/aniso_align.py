"""A bounded, learned alignment of texts with the images' phases, fitted to unpaired vectors of both."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.moments import Covariance
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfers.base import (
    NUM_VECTORS,
    TO_IMAGES,
    Block,
    Exact,
    FirstPass,
    Mean,
    Move,
    Tensors,
    Transfer,
    TransferStatistics,
    unit_rows,
)

Numbers = NDArray[Any]
_MEANS = ("text_mean", "image_mean")
"""Fields that are statistics of the set, not of the training."""
_EPSILON = 1e-12
_FLAT = 1e-6


@dataclass(frozen=True)
class Settings:
    """The constants that the paper leaves open; `AnisoAlign` has the reasons."""

    most_axes: int = 256
    num_partners: int = 4
    step_size: float = 0.1
    least_noise: float = 0.01
    most_noise: float = 1.0
    most_turn: float = 0.5
    """In radians."""
    most_stretch: float = 0.2
    """Of the logarithm of a radius."""
    phase_weight: float = 1.0
    hidden: int = 256
    num_steps: int = 400
    """Of each of the two trainings."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    num_knots: int = 65


@dataclass(frozen=True)
class TextSample(FirstPass):
    """The first pass: some of the texts, to which the networks are fitted."""

    result = Sample
    rows_per_part = 1 << 17
    """A part takes 26 MB at 1,280 dimensions."""

    def measure(self, vectors: Vectors) -> Sample:
        return Sample.of(vectors, NUM_VECTORS)


@dataclass(frozen=True)
class Polar:
    """Vectors in the frame: blocks of two axes as phases and radii, and the other coordinates."""

    phases: Numbers
    radii: Numbers
    rest: Numbers

    @classmethod
    def of(cls, turned: Numbers, num_blocks: int) -> Self:
        pairs = turned[:, : 2 * num_blocks].reshape(len(turned), num_blocks, 2)
        return cls(
            np.arctan2(pairs[..., 1], pairs[..., 0]),
            np.sqrt(np.square(pairs).sum(axis=2) + _EPSILON),
            turned[:, 2 * num_blocks :],
        )

    def turned(self) -> Numbers:
        """The vectors in the frame."""
        pairs = np.stack([self.radii * np.cos(self.phases), self.radii * np.sin(self.phases)], axis=2)
        return np.concatenate([pairs.reshape(len(pairs), -1), self.rest], axis=1)


@TRANSFERS.register("aniso_align")
@dataclass(frozen=True, eq=False, kw_only=True)
class AnisoAlign(Transfer):
    """`aniso_align`: v = N(e' - E[e'] + mu_x), e' = N(Q [rho cos theta, rho sin theta, rest]); x is unchanged.

    AnisoAlign (2605.07825). Q has the eigenvectors of cov(y) + cov(x). A text y - mu_y + mu_x is turned by Q; its
    first axes, in blocks of two, become phases and radii. A radius is mapped to that of the images with the same rank;
    the other coordinates get the images' mean and standard deviation. A small network then turns each phase by at most
    `most_turn` and stretches each radius by at most exp(`most_stretch`). It is trained to bring the phases where a
    score network, trained on images alone, expects them, and to keep the texts' relative phases.

    The paper leaves open, and we chose, before looking at any held-out picture:

    - Half of the axes are in blocks, at most 256. They are mixed by a random rotation R, the seed's: blocks of
      eigenvectors are nearly uncorrelated, so that there would be no relative phases to learn.
    - Phases and radii of texts are those of y - mu_y + mu_x; the other coordinates are those of the eigenvectors.
    - 4 partners of a block; a step of 0.1 along the drift; noise of variance 2 s, s from 0.01 to 1, geometric in t from
      0 to 1: from a seventh of a radian to nearly uniform.
    - Two hidden layers of 256 units with SiLU; 400 steps of Adam with 256 rows for each network, at a rate that falls
      from 0.001 to 0: a few seconds at 384 dimensions.
    - The weight of the phase loss is the number of edges, by which the paper divides it.
    - The paper also lets the network move the other coordinates (d_v). None of its losses depends on them, so nothing
      would train this output: it is left out.
    - E[e'] is the mean over the sample of texts that the networks are fitted to: exact for sets of up to 10,000
      different captions. For larger ones its error has a norm of about 0.01 sqrt(E|e' - E[e']|²), less than 0.01.

    Fitting needs PyTorch, applying does not. It uses at most 10,000 vectors of each side.
    """

    text_mean: Mean
    image_mean: Mean
    basis: Numbers
    """Q, R included: (dimensions, dimensions), a column for each axis."""
    text_radii: Numbers
    """Of texts, at equally spaced ranks: (blocks, knots)."""
    image_radii: Numbers
    scale: Numbers
    """Standard deviation of images divided by that of texts, for the other coordinates."""
    weights_1: Numbers
    bias_1: Numbers
    weights_2: Numbers
    bias_2: Numbers
    weights_3: Numbers
    bias_3: Numbers
    bounds: Numbers
    """The largest turn and the largest stretch."""
    aligned_mean: Mean
    """E[e']."""

    settings: ClassVar[Settings] = Settings()
    formula = (
        "v = N(e - mean(e) + mean(x)), e has u's phases in planes of the common principal axes, turned by a small"
        " network, and the images' radii"
    )
    needs_images = True
    is_trained = True
    num_image_vectors = NUM_VECTORS
    min_image_vectors = 16
    first_pass = TextSample
    card_text = TO_IMAGES

    @classmethod
    def check_images(cls, covariance: Covariance | None, vectors: Sample | None) -> None:
        super().check_images(covariance, vectors)
        if find_spec("torch") is None:
            raise InputError(
                "aniso_align is fitted with PyTorch, which is not installed", "pip install 'unicorn-hf[torch]'"
            )

    @classmethod
    def fit(cls, statistics: TransferStatistics) -> Self:
        statistics.check_spread()
        texts, images = statistics.first, statistics.image_vectors
        cls.check_images(statistics.image_covariance, images)
        if not isinstance(texts, Sample) or images is None:
            raise ValueError("aniso_align also needs a sample of the text representations")
        least, num_texts = cls.min_image_vectors, len(texts.vectors)
        if num_texts < least:
            raise InputError(
                f"aniso_align needs {least} different captions or more, but the set has {num_texts}",
                "Use another --transfer.",
            )
        from unicorn_hf.representations.phase_networks import refinement

        some_texts, some_images = texts.vectors.astype(np.float64), images.vectors.astype(np.float64)
        started = cls._unrefined(statistics, some_texts, some_images)
        of_texts = started.started(some_texts - started.text_mean)
        of_images = Polar.of(some_images @ started.basis, started.num_blocks)
        refined = replace(started, **refinement(of_texts, of_images, cls.settings, statistics.seed))
        # Its mean is the images' until here, so that this is e'.
        return replace(refined, aligned_mean=refined.apply_text(some_texts).mean(axis=0, dtype=np.float64))

    @classmethod
    def restored(cls, statistics: TransferStatistics, tensors: Tensors) -> Self:
        named = {field.name: tensors[field.name] for field in fields(cls) if field.name not in _MEANS}
        found = cls(text_mean=statistics.text.mean, image_mean=statistics.known_image.mean, **named)
        found._check_shapes()
        return found

    @property
    def tensors(self) -> Tensors:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _MEANS}

    def mover(self, ids: Sequence[str] | None) -> Move:
        # In float32, errors of a small radius's phase would grow beyond 1e-6.
        exact = replace(self, **{name: array.astype(np.float64) for name, array in self.tensors.items()})
        moved_by = self.aligned_mean - self.image_mean

        def move(block: Block, _: int) -> None:
            # `unit_rows` names a row that is not finite.
            with np.errstate(invalid="ignore", over="ignore"):
                polar = exact.refined(exact.started(block - exact.text_mean))
                block[:] = unit_rows(unit_rows(polar.turned() @ exact.basis.T) - moved_by)

        return move

    def started(self, centred: Numbers) -> Polar:
        """The initialization of texts, of which their mean is subtracted."""
        in_frame = self.image_mean @ self.basis
        polar = Polar.of(centred @ self.basis + in_frame, self.num_blocks)
        radii = np.empty_like(polar.radii)
        for block, (texts, images) in enumerate(zip(self.text_radii, self.image_radii, strict=True)):
            radii[:, block] = np.interp(polar.radii[:, block], texts, images)
        mean = in_frame[2 * self.num_blocks :]
        return Polar(polar.phases, radii, mean + self.scale * (polar.rest - mean))

    def refined(self, polar: Polar) -> Polar:
        hidden = _silu(features(polar) @ self.weights_1 + self.bias_1)
        hidden = _silu(hidden @ self.weights_2 + self.bias_2)
        moves = np.tanh(hidden @ self.weights_3 + self.bias_3)
        turn, stretch = self.bounds
        phases = polar.phases + turn * moves[:, : self.num_blocks]
        return Polar(phases, polar.radii * np.exp(stretch * moves[:, self.num_blocks :]), polar.rest)

    @property
    def num_blocks(self) -> int:
        return len(self.text_radii)

    @classmethod
    def _unrefined(cls, statistics: TransferStatistics, texts: Exact, images: Exact) -> Self:
        """With a network that changes nothing, and no recentring."""
        text_mean, image_mean, settings = statistics.text.mean, statistics.known_image.mean, cls.settings
        dim = len(text_mean)
        num_blocks = max(1, min(settings.most_axes, dim // 2) // 2)
        _, axes = np.linalg.eigh(np.cov(texts, rowvar=False) + np.cov(images, rowvar=False))
        basis = axes[:, ::-1]
        random = np.random.default_rng(statistics.seed)
        mixed, _ = np.linalg.qr(random.normal(size=(2 * num_blocks, 2 * num_blocks)))
        basis = np.concatenate([basis[:, : 2 * num_blocks] @ mixed, basis[:, 2 * num_blocks :]], axis=1)
        of_texts = Polar.of((texts - text_mean + image_mean) @ basis, num_blocks)
        of_images = Polar.of(images @ basis, num_blocks)
        ranks = np.linspace(0, 1, settings.num_knots)
        text_radii, image_radii = (np.quantile(polar.radii, ranks, axis=0).T for polar in (of_texts, of_images))
        width = 3 * num_blocks + dim - 2 * num_blocks
        shapes = {"1": (width, settings.hidden), "2": (settings.hidden,) * 2, "3": (settings.hidden, 2 * num_blocks)}
        network: dict[str, Numbers]
        network = {f"weights_{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
        network |= {f"bias_{name}": np.zeros(shape[1], np.float32) for name, shape in shapes.items()}
        spread = of_texts.rest.std(axis=0)
        # Do not amplify rounding errors along an axis where all texts are equal.
        flat = spread <= _FLAT * np.sqrt(statistics.text.trace)
        return cls(
            text_mean=text_mean,
            image_mean=image_mean,
            basis=basis.astype(np.float32),
            text_radii=_rising(text_radii),
            image_radii=image_radii,
            scale=np.where(flat, 0, of_images.rest.std(axis=0) / np.where(flat, 1, spread)).astype(np.float32),
            bounds=np.array([settings.most_turn, settings.most_stretch], np.float32),
            aligned_mean=image_mean,
            **network,
        )

    def _check_shapes(self) -> None:
        """
        Raises:
            ValueError: the arrays do not fit each other.
        """
        dim, (num_blocks, num_knots) = len(self.text_mean), self.text_radii.shape
        (first,), (second,) = self.bias_1.shape, self.bias_2.shape
        wanted = {
            "image_mean": (dim,),
            "basis": (dim, dim),
            "text_radii": (num_blocks, num_knots),
            "image_radii": (num_blocks, num_knots),
            "scale": (dim - 2 * num_blocks,),
            "weights_1": (dim + num_blocks, first),
            "bias_1": (first,),
            "weights_2": (first, second),
            "bias_2": (second,),
            "weights_3": (second, 2 * num_blocks),
            "bias_3": (2 * num_blocks,),
            "bounds": (2,),
            "aligned_mean": (dim,),
        }
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite, or has the shape {array.shape} instead of {shape}")


def features(polar: Polar) -> Numbers:
    """The input of the network."""
    return np.concatenate([np.sin(polar.phases), np.cos(polar.phases), np.log(polar.radii), polar.rest], axis=1)


def _silu(values: Numbers) -> Numbers:
    made: Numbers = values / (1 + np.exp(-values))
    return made


def _rising(radii: Numbers) -> Numbers:
    """Knots of equal radii, moved apart so that the map between radii is continuous."""
    least = 1e-4 * radii.max() / radii.shape[1]
    gaps = np.maximum(np.diff(radii, axis=1), least)
    return np.concatenate([radii[:, :1], radii[:, :1] + np.cumsum(gaps, axis=1)], axis=1)
