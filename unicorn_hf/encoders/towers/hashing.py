"""Hashed bags of words as vectors: deterministic, no model, for rehearsals and quick tests."""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.generation import Encoded
from unicorn_hf.core.words import words

_EVERY_TEXT = 0.05
"""Weight of one component that all texts share, so that the transfer has a mean to subtract."""


class HashingEncoder:
    """Each word adds +1 or -1 to the component that its hash selects; texts with common words have similar vectors."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> Encoded:
        """See `TextEncoder.encode`."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            hashes = np.array([crc32(word.encode()) for word in words(text)], dtype=np.uint32)
            signs = np.where(hashes & 1, np.float32(1), np.float32(-1))
            vectors[row] = np.bincount((hashes >> 1) % self.dim, weights=signs, minlength=self.dim)
            vectors[row, 0] += _EVERY_TEXT * max(len(hashes), 1)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.where(norms == 0, 1, norms)
        # Words can cancel each other out; such a text still needs a direction.
        unit[norms[:, 0] == 0, 0] = 1
        on_texts(len(texts))
        return Encoded(unit, num_long=0)

    def close(self) -> None:
        """There is nothing to close."""
