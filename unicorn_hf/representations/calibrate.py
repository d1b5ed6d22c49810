"""Compute the statistics of the image side, from images that need not be related to the texts."""

import math
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.encoder import published_encoder, resolve_encoder
from unicorn_hf.core.generation import ImageEncoder
from unicorn_hf.representations.moments import Covariance
from unicorn_hf.representations.pictures import Picture, PictureSource
from unicorn_hf.representations.rows import in_shard
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, save_image_statistics
from unicorn_hf.runtime.progress import Progress

BATCH_SIZE = 64
_MOST_PIXELS = 1 << 29
"""Of the images that are in memory at once, without the last one: 3 bytes each."""


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
    covariance, kept = Covariance.merged([]), None
    with closing(resolve_encoder(encoder, BATCH_SIZE).open_images()) as tower:
        for batch, vectors in encoded(pictures, tower, progress):
            with in_shard(pictures.name, range(covariance.count, covariance.count + len(batch))):
                covariance = Covariance.merged([covariance, Covariance.of(vectors)])
            if keep_vectors:
                some = Sample.of(vectors, keep_vectors)
                kept = Sample.merged([kept, some]) if kept else some
    covariance.check_spread(f"the images of {pictures.name}")
    statistics = ImageStatistics(covariance, published_encoder(encoder), encoder_id(encoder), pictures.name, kept)
    save_image_statistics(out, statistics)
    return statistics


def encoded(
    pictures: PictureSource, tower: ImageEncoder, progress: Progress
) -> Iterator[tuple[list[Picture], NDArray[np.float32]]]:
    """Yield the images in batches, each with its vectors: (images, dim), float32."""
    progress.start("encoding", pictures.limit, "images")
    done = 0
    for batch in _batches(pictures):
        yield batch, tower.encode([picture.image for picture in batch])
        done += len(batch)
        progress.known(done, 0)
    progress.finish()


def _batches(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    batch: list[Picture] = []
    num_pixels = 0
    for picture in pictures:
        batch.append(picture)
        num_pixels += math.prod(picture.image.size)
        if len(batch) == 4 * BATCH_SIZE or num_pixels > _MOST_PIXELS:
            yield batch
            batch, num_pixels = [], 0
    if batch:
        yield batch
