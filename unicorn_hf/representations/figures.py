"""Figures about representations."""

from unicorn_hf.core.figures import Figures, Rounded
from unicorn_hf.core.recipe import LongCaptions


class ImageFacts(Figures):
    """The image side, to which the transfer was fitted or which its consumer needs."""

    source: str
    num_images: int
    mean_norm: Rounded
    trace: Rounded
    """Mean squared distance of the image vectors from their mean."""
    mean_gap: Rounded
    """L2 norm of the difference between the means of the two sides."""


class RepresentationFacts(Figures):
    """The representations of a set."""

    encoder: str
    dim: int
    transfer: str
    transfer_asked: str | None = None
    """The recipe's transfer; differs from `transfer` if it needs image statistics and there were none."""
    dtype: str
    has_image_side: bool
    """Whether the encoder has a trained image tower."""
    num_long: int
    """Captions that exceed the encoder's context."""
    long_captions: LongCaptions
    """How they were encoded."""
    text_mean_norm: Rounded
    """L2 norm of the mean text vector: 0 for vectors in all directions, 1 for equal vectors."""
    text_trace: Rounded | None = None
    """Mean squared distance of the text vectors from their mean."""
    image: ImageFacts | None = None
    """None if the image side is unknown."""


class Gap(Figures):
    """The gap between a set of text vectors and one of image vectors."""

    mean_gap: Rounded
    """L2 norm of the difference between the two means."""
    cosine_to_text_mean: Rounded
    """Of the mean gap, from texts to images, with the texts' mean: -1 if that mean alone is the gap."""
    cosine_to_image_mean: Rounded
    mean_share: Rounded
    """Share of the means in the gap's energy E|x - y|²: over the pairs if there are any, else over all combinations of
    a text and an image."""
    mmd: Rounded
    """Maximum mean discrepancy: the square root of its unbiased estimate with a Gaussian kernel, whose bandwidth is the
    median distance of two vectors of both clouds; 0 if the estimate is negative."""
    frechet: Rounded
    """Fréchet distance (not squared) of normal distributions with the clouds' means and covariances."""
    paired_cosine: Rounded | None
    """Mean cosine of a text and its own image; None without pairs."""
    text_mixing: Rounded | None = None
    """How well images mix with texts among a text's nearest: 0 if there are only texts or only images, 1 as in a random
    mixture. Of the pairs if there are any, else of both clouds. See `gap.mixing`. None in figures of older versions."""
    image_mixing: Rounded | None = None
    """The same among an image's nearest."""
    residual_anisotropy: Rounded | None = None
    """Of the differences between an image and its text, without their mean: the largest variance along an axis divided
    by the mean variance; 1 if they are the same in all directions. None without pairs."""
    residual_dimension: Rounded | None = None
    """Effective dimension of the same differences, as a share of all: the squared sum of the principal variances,
    divided by the sum of their squares."""


class GapFacts(Figures):
    """Results of `unicorn-hf gap`: rows of the set against real images."""

    images: str
    """Name of the source of the images."""
    num_images: int
    num_texts: int
    num_pairs: int
    """Number of images with a known text."""
    before: Gap
    after: Gap
    direction_kept: Rounded
    """Cosine of the mean gap before and after."""
    instances_kept: Rounded | None = None
    """Mean cosine of a text before and after. None in figures of older versions, as the next."""
    similarities_kept: Rounded | None = None
    """Correlation of the cosines of all pairs of texts before and after."""
    neighbours_kept: Rounded
    """Mean share of a text's nearest texts that are still among its nearest after the transfer."""
    num_neighbours: int
    picture: str | None = None
    """Path of the chart in the folder."""

    def rows(self) -> list[tuple[str, float, float]]:
        """Label, value before and value after the transfer of each measure that was taken."""
        measures = {
            "norm of the gap between the means": "mean_gap",
            "its cosine with the texts' mean": "cosine_to_text_mean",
            "its cosine with the images' mean": "cosine_to_image_mean",
            "the means' share of the gap's energy": "mean_share",
            "maximum mean discrepancy": "mmd",
            "Fréchet distance": "frechet",
            "mixing around a text": "text_mixing",
            "mixing around an image": "image_mixing",
            f"cosine of an image and its text ({self.num_pairs:,} pairs)": "paired_cosine",
            "anisotropy of their difference": "residual_anisotropy",
            "effective dimension of their difference": "residual_dimension",
        }
        found = [(label, getattr(self.before, name), getattr(self.after, name)) for label, name in measures.items()]
        return [(label, before, after) for label, before, after in found if before is not None and after is not None]
