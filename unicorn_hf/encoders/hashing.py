"""Hashed bags of words as vectors: deterministic, no model, for rehearsals and quick tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from zlib import crc32

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unicorn_hf.core.generation import Encoded, TextEncoder
    from unicorn_hf.core.recipe import LongCaptions

_MAX_DIM = 65_536
_EVERY_TEXT = 0.05
"""Weight of one component that all texts share, so that the transfer has a mean to subtract."""


@ENCODERS.register("hashing")
@dataclass(frozen=True, slots=True)
class Hashing(AnyEncoder):
    """Vectors of hashed words, for rehearsals."""

    forms = {"DIM": "hashed words, no model: for rehearsals"}
    uses_gpu = False
    has_image_side = False
    cuts_texts = False

    dim: int

    @classmethod
    def parse(cls, rest: str) -> Self:
        if not rest.isdecimal() or len(rest) > len(str(_MAX_DIM)) or not 1 <= int(rest) <= _MAX_DIM:
            raise InputError(f"hashing takes a dimension from 1 to {_MAX_DIM}, e.g. hashing:512")
        return cls(int(rest))

    @property
    def known_dim(self) -> int:
        return self.dim

    @property
    def rehearsal(self) -> str:
        return "The vectors are hashed words (`hashing`), made without an image-text encoder."

    def identity(self) -> str:
        return fingerprint("hashing", self.dim)

    def open(self, batch_size: int, long_captions: "LongCaptions") -> "TextEncoder":
        return HashingEncoder(self.dim)


class HashingEncoder:
    """Each word adds +1 or -1 to the component that its hash selects; texts with common words have similar vectors."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> "Encoded":
        """See `TextEncoder.encode`."""
        import numpy as np

        from unicorn_hf.core.generation import Encoded
        from unicorn_hf.core.words import words

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
