"""Hashed words as vectors, without a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextEncoder
    from unicorn_hf.core.recipe import LongCaptions

_MAX_DIM = 65_536


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
        from unicorn_hf.encoders.towers.hashing import HashingEncoder

        return HashingEncoder(self.dim)
