"""Figures about representations."""

from unicorn_hf.core.figures import Figures, Rounded
from unicorn_hf.core.recipe import LongCaptions


class ImageFacts(Figures):
    """The image side, to which the transfer was fitted or which its consumer needs."""

    source: str
    num_images: int
    mean_norm: Rounded
    trace: Rounded
    """Mean squared distance of image representations from their mean."""
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
    """L2 norm of the mean text representation: 0 for vectors in all directions, 1 for equal vectors."""
    text_trace: Rounded | None = None
    """Mean squared distance of text representations from their mean."""
    image: ImageFacts | None = None
    """None if the image side is unknown."""


class Gap(Figures):
    """The gap between a cloud of text representations and one of image representations."""

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
    neighbours_kept: Rounded
    num_neighbours: int
    picture: str | None = None
    """Path of the chart in the folder."""
