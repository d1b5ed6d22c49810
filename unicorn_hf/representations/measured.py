"""Measure the gap between a published set and real images: encode both, and compare the clouds."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import ImageEncoder, TextEncoder
from unicorn_hf.representations.calibrate import BATCH_SIZE, encoded
from unicorn_hf.representations.figures import GapFacts
from unicorn_hf.representations.gap import (
    NUM_NEIGHBOURS,
    Cloud,
    cosine,
    measure,
    neighbours_kept,
    row_cosines,
    similarities_kept,
)
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.representations.transfers import Transfer
from unicorn_hf.runtime.progress import Progress

_AT_LEAST = 10


Clouds = tuple[Cloud, Cloud]
"""Texts and images."""


def measure_set(
    captions: Sequence[str],
    vectors: Vectors,
    transfer: Transfer,
    pictures: PictureSource,
    encoder: str,
    progress: Progress,
) -> tuple[GapFacts, Clouds, Clouds]:
    """Encode rows of a published set again, and images, and compare them before and after the transfer.

    Args:
        vectors: `image_embedding` of the captions' rows.

    Returns:
        The figures, and the vectors before and after.

    Raises:
        InputError: the encoder has no image side, or there are too few images.
    """
    choice = resolve_encoder(encoder, BATCH_SIZE)
    with closing(choice.open_images()) as image_tower:
        images, said = _encoded_pictures(image_tower, pictures, progress)
    paired = [row for row, text in enumerate(said) if text]
    with closing(choice.open()) as tower:
        texts = _encoded_texts(tower, captions, "captions", progress)
        of_pairs = _encoded_texts(tower, [said[row] or "" for row in paired], "texts of images", progress)
    moved_images = transfer.apply_image(images)
    moved_of_pairs = transfer.apply_text(of_pairs, [f"pair {row}" for row in paired]) if paired else of_pairs
    pairs_before = (_exact(of_pairs), _exact(images[paired])) if paired else None
    pairs_after = (_exact(moved_of_pairs), _exact(moved_images[paired])) if paired else None
    before, after = (_exact(texts), _exact(images)), (_exact(vectors), _exact(moved_images))
    facts = GapFacts(
        images=pictures.name,
        num_images=len(images),
        num_texts=len(texts),
        num_pairs=len(paired),
        before=measure(*before, pairs_before),
        after=measure(*after, pairs_after),
        direction_kept=cosine(_mean_gap(*before), _mean_gap(*after)),
        instances_kept=float(row_cosines(before[0], after[0]).mean()),
        similarities_kept=similarities_kept(before[0], after[0]),
        neighbours_kept=neighbours_kept(before[0], after[0]),
        num_neighbours=NUM_NEIGHBOURS,
    )
    return facts, before, after


def _encoded_pictures(
    tower: ImageEncoder, pictures: PictureSource, progress: Progress
) -> tuple[NDArray[np.float32], list[str | None]]:
    vectors, texts = [np.empty((0, tower.dim), dtype=np.float32)], list[str | None]()
    for batch, encoded_batch in encoded(pictures, tower, progress):
        vectors.append(encoded_batch)
        texts += [picture.text for picture in batch]
    if len(texts) < _AT_LEAST:
        raise InputError(f"{pictures.name} contains {len(texts)} images; a gap needs at least {_AT_LEAST}")
    return np.concatenate(vectors), texts


def _encoded_texts(tower: TextEncoder, texts: Sequence[str], what: str, progress: Progress) -> NDArray[np.float32]:
    if not texts:
        return np.empty((0, tower.dim), dtype=np.float32)
    progress.start(what, len(texts))
    vectors = tower.encode(texts, progress.counter()).vectors
    progress.finish()
    return vectors


def _exact(vectors: Vectors) -> Cloud:
    return vectors.astype(np.float64)


def _mean_gap(texts: Cloud, images: Cloud) -> NDArray[np.float64]:
    gap: NDArray[np.float64] = images.mean(axis=0) - texts.mean(axis=0)
    return gap
