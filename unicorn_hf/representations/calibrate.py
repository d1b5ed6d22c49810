"""Compute the statistics of the image side, from images that need not be related to the texts."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from unicorn_hf.core.encoder import published_encoder, resolve_encoder
from unicorn_hf.representations.moments import Covariance
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.representations.rows import in_shard
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, save_image_statistics
from unicorn_hf.runtime.progress import Progress

BATCH_SIZE = 64
T = TypeVar("T")


def calibrate(
    pictures: PictureSource, encoder: str, out: Path, progress: Progress, keep_vectors: int = 0
) -> ImageStatistics:
    """Encode images in batches, and write the statistics of their vectors to `out`.

    Args:
        keep_vectors: number of different vectors to write too, for transfers that are fitted to vectors: see `Sample`.

    Raises:
        InputError: the encoder has no image side, or the images cannot be loaded or are all equal.
        RunError: the encoder cannot be loaded.
    """
    tower = resolve_encoder(encoder, BATCH_SIZE).open_images()
    progress.start("images", pictures.limit)
    covariance = Covariance.merged([])
    kept = Sample.of(np.empty((0, tower.dim), np.float32), keep_vectors)
    try:
        for batch in batches(pictures, 4 * BATCH_SIZE):
            with in_shard(pictures.name, range(covariance.count, covariance.count + len(batch))):
                vectors = tower.encode([picture.image for picture in batch])
                covariance = Covariance.merged([covariance, Covariance.of(vectors)])
            kept = Sample.merged([kept, Sample.of(vectors, keep_vectors)])
            progress.known(covariance.count, 0)
    finally:
        tower.close()
    progress.finish()
    covariance.check_spread(f"the images of {pictures.name}")
    statistics = ImageStatistics(
        covariance, published_encoder(encoder), encoder_id(encoder), pictures.name, kept if keep_vectors else None
    )
    save_image_statistics(out, statistics)
    return statistics


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Split the items into lists of `size`; the last one may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
