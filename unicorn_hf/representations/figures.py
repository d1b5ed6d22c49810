"""What is measured of representations."""

from unicorn_hf.core.figures import Figures, Rounded
from unicorn_hf.core.recipe import LongCaptions


class ImageFacts(Figures):
    """The image side that the transfer was fitted to, or that its consumer needs."""

    source: str
    num_images: int
    mean_norm: Rounded
    trace: Rounded
    """Mean squared distance of an image's representation from their mean."""
    mean_gap: Rounded
    """L2 norm of the difference of the two sides' means."""


class RepresentationFacts(Figures):
    """The representations of a set."""

    encoder: str
    dim: int
    transfer: str
    transfer_asked: str | None = None
    """The recipe's transfer; another one than `transfer` where that needs images that were not known."""
    dtype: str
    has_image_side: bool
    """Whether the encoder has an image tower that somebody trained."""
    num_long: int
    """Captions with more tokens than the encoder reads at once."""
    long_captions: LongCaptions
    """What became of them."""
    text_mean_norm: Rounded
    """L2 norm of the mean text representation: 0 for vectors in all directions, 1 for vectors all equal."""
    text_trace: Rounded | None = None
    """Mean squared distance of a text representation from their mean."""
    image: ImageFacts | None = None
    """None where the image side is not known."""


class Gap(Figures):
    """The gap between a cloud of text representations and one of image representations."""

    mean_gap: Rounded
    """L2 norm of the difference of the two means."""
    cosine_to_text_mean: Rounded
    """Of the mean gap, from texts to images, with the texts' mean: -1 where that mean alone is the gap."""
    cosine_to_image_mean: Rounded
    mean_share: Rounded
    """Share of the gap's energy E|x - y|² that is in the means: over the pairs where there are some, else over all
    combinations of a text and an image."""
    mmd: Rounded
    """Maximum mean discrepancy: the square root of its unbiased estimate with a Gaussian kernel, whose bandwidth is the
    median distance of two vectors of both clouds; 0 where the estimate is below."""
    frechet: Rounded
    """Fréchet distance of two normal distributions with the clouds' means and covariances (not its square)."""
    paired_cosine: Rounded | None
    """Mean cosine of a text and its own image, where pairs exist."""


class GapFacts(Figures):
    """What `unicorn-hf gap` measured: rows of the set against real images."""

    images: str
    """What images these were."""
    num_images: int
    num_texts: int
    num_pairs: int
    """Images whose own text is known."""
    before: Gap
    after: Gap
    direction_kept: Rounded
    """Cosine of the mean gap before and after."""
    neighbours_kept: Rounded
    num_neighbours: int
    picture: str | None = None
    """Its path in the folder."""
