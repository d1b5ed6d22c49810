"""Existing vectors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextEncoder
    from unicorn_hf.core.recipe import LongCaptions

IMPORTED = "imported"


@ENCODERS.register(IMPORTED)
@dataclass(frozen=True, slots=True)
class Imported(AnyEncoder):
    """Vectors that came with imported captions; nothing can be encoded."""

    encodes = False
    uses_gpu = False
    has_image_side = False
    cuts_texts = False

    @classmethod
    def parse(cls, rest: str) -> Self:
        if rest:
            raise InputError("imported takes no argument")
        return cls()

    def identity(self) -> str:
        return fingerprint(IMPORTED)

    def open(self, batch_size: int, long_captions: "LongCaptions") -> "TextEncoder":
        raise InputError("vectors that were imported with their captions have no encoder", "Choose one with --encoder.")
