"""Measure the gap between a published set and real images: encode both, and compare the clouds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import ImageEncoder, TextEncoder
from unicorn_hf.representations.calibrate import BATCH_SIZE, batches
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
from unicorn_hf.representations.pictures import Picture, PictureSource
from unicorn_hf.representations.rows import Vectors
from unicorn_hf.representations.transfers import Transfer
from unicorn_hf.runtime.progress import Progress

_AT_LEAST = 10


@dataclass(frozen=True)
class Sample:
    """Rows of a published set."""

    captions: Sequence[str]
    vectors: Vectors
    """Their `image_embedding`."""


@dataclass(frozen=True)
class Measured:
    facts: GapFacts
    clouds_before: tuple[Cloud, Cloud]
    """Texts and images."""
    clouds_after: tuple[Cloud, Cloud]


def measure_set(
    sample: Sample, transfer: Transfer, pictures: PictureSource, encoder: str, progress: Progress
) -> Measured:
    """Encode the captions again and the images, and compare them before and after the transfer.

    Raises:
        InputError: the encoder has no image side, or there are too few images.
    """
    choice = resolve_encoder(encoder, BATCH_SIZE)
    images, said = _encoded_pictures(choice.open_images(), pictures, progress)
    tower = choice.open()
    try:
        texts = _encoded_texts(tower, sample.captions, "captions", progress)
        paired = [row for row, text in enumerate(said) if text]
        of_pairs = _encoded_texts(tower, [said[row] or "" for row in paired], "texts of images", progress)
    finally:
        tower.close()
    moved_images = transfer.apply_image(images)
    moved_of_pairs = transfer.apply_text(of_pairs, [f"pair {row}" for row in paired]) if paired else of_pairs
    before, after = (texts, images), (sample.vectors, moved_images)
    pairs_before = (_exact(of_pairs), _exact(images[paired])) if paired else None
    pairs_after = (_exact(moved_of_pairs), _exact(moved_images[paired])) if paired else None
    clouds_before = _exact(before[0]), _exact(before[1])
    clouds_after = _exact(after[0]), _exact(after[1])
    facts = GapFacts(
        images=pictures.name,
        num_images=len(images),
        num_texts=len(texts),
        num_pairs=len(paired),
        before=measure(*clouds_before, pairs_before),
        after=measure(*clouds_after, pairs_after),
        direction_kept=cosine(_mean_gap(*clouds_before), _mean_gap(*clouds_after)),
        instances_kept=float(row_cosines(clouds_before[0], clouds_after[0]).mean()),
        similarities_kept=similarities_kept(clouds_before[0], clouds_after[0]),
        neighbours_kept=neighbours_kept(clouds_before[0], clouds_after[0]),
        num_neighbours=NUM_NEIGHBOURS,
    )
    return Measured(facts, clouds_before, clouds_after)


def _encoded_pictures(
    tower: ImageEncoder, pictures: PictureSource, progress: Progress
) -> tuple[NDArray[np.float32], list[str | None]]:
    progress.start("images", pictures.limit)
    vectors, texts = [np.empty((0, tower.dim), dtype=np.float32)], list[str | None]()

    def encoded(batch: list[Picture]) -> NDArray[np.float32]:
        return tower.encode([picture.image for picture in batch])

    try:
        for batch in batches(pictures, BATCH_SIZE):
            vectors.append(encoded(batch))
            texts += [picture.text for picture in batch]
            progress.known(len(texts), 0)
    finally:
        tower.close()
    progress.finish()
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
