"""The interface of encoders; the bundled ones are in `unicorn_hf.encoders`.

The name of an encoder is `KIND:REST`, e.g. `open_clip:ViT-B-32/laion2b_s34b_b79k`, `hashing:512`. Each kind is one
class. It parses the rest, declares its requirements, and opens the towers. A kind of another package is `PACKAGE:NAME`,
and its encoders are `PACKAGE:NAME:REST`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar, Self

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import ModelSource

if TYPE_CHECKING:
    from unicorn_hf.core.generation import ImageEncoder, TextEncoder
    from unicorn_hf.core.recipe import LongCaptions

_FOREIGN_KIND = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9._-]+(?=:|\Z)")


@dataclass(frozen=True, slots=True)
class AnyEncoder(ABC):
    """An encoder, as named in `representations.encoder`. A subclass is a frozen dataclass of the parts of the name.

    `--help` imports the class, so import heavy packages in `open`.
    """

    forms: ClassVar[Mapping[str, str]] = {}
    """Forms of the text after `KIND:`, each with a description; `--help` shows the first one.

    The empty form is the kind alone. A user cannot select an encoder without forms.
    """
    encodes: ClassVar[bool] = True
    """False if the vectors exist already, of any length, and it encodes nothing."""
    uses_gpu: ClassVar[bool] = True
    has_image_side: ClassVar[bool] = True
    """Whether it has a trained image tower."""
    cuts_texts: ClassVar[bool] = True
    """Whether it has a token limit: `long_captions` decides how to encode longer texts."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports in addition to the base dependencies, in this order."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that can affect its vectors: the card names their versions, and all workers need the same."""

    @classmethod
    @abstractmethod
    def parse(cls, rest: str) -> Self:
        """The encoder with this rest of the name; it is empty for the kind alone.

        Raises:
            InputError: the rest is invalid; the message is about the rest alone.
        """

    @abstractmethod
    def identity(self) -> str:
        """Fingerprint of the model, and so of the space of its vectors.

        Raises:
            InputError: there is no such model.
        """

    @abstractmethod
    def open(self, batch_size: int, long_captions: "LongCaptions") -> "TextEncoder":
        """Open the text side, in a worker.

        Raises:
            InputError: there is no such model, or it is not installed.
            RunError: its weights cannot be loaded or do not fit.
        """

    def open_images(self, batch_size: int) -> "ImageEncoder":
        """Open the image side, if there is one; raises as `open`."""
        raise NotImplementedError

    def resolve(self) -> Self:
        """The encoder to open: a demonstration model is converted at its first use.

        Raises:
            InputError: there is no such model.
        """
        return self

    @property
    def known_dim(self) -> int | None:
        """Length of its vectors, if known before it is opened."""
        return None

    @property
    def is_demo(self) -> bool:
        """Whether it is one of the demonstration models."""
        return False

    @property
    def rehearsal(self) -> str:
        """Why its vectors are no training data, as a sentence for the card; empty if they are."""
        return ""

    @property
    def names_file(self) -> bool:
        """Whether its name is a file or folder of this machine."""
        return False

    def published(self, rest: str) -> str:
        """`rest`, which this encoder was parsed from, with only the name of a folder or file."""
        return rest

    def hub_models(self) -> list[ModelSource]:
        """The Hub models that it loads."""
        return []

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        """Problems on this machine, except missing modules."""
        yield from ()


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """A resolved encoder, which another process can open."""

    encoder: AnyEncoder
    name: str
    batch_size: int
    identity: str
    """Fingerprint of the model, and so of the space of its vectors."""
    long_captions: "LongCaptions" = "truncate"

    @property
    def has_image_side(self) -> bool:
        return self.encoder.has_image_side

    @property
    def uses_gpu(self) -> bool:
        return self.encoder.uses_gpu

    @property
    def text_identity(self) -> str:
        """Fingerprint of all that a caption's vector depends on."""
        return fingerprint(self.identity, self.long_captions)

    def open(self) -> "TextEncoder":
        """Open the text side; raises as `AnyEncoder.open`."""
        return self.encoder.open(self.batch_size, self.long_captions)

    def open_images(self) -> "ImageEncoder":
        """Open the image side, which shares a space with the text side.

        Raises:
            InputError: there is none, or no such model.
            RunError: its weights cannot be loaded or do not fit.
        """
        if not self.has_image_side:
            having = ", ".join(example(name) for name, kind in _usable().items() if kind.has_image_side)
            raise InputError(
                f"the encoder {self.name} has no image side",
                f"Use one of these: {having}.",
            )
        return self.encoder.open_images(self.batch_size)


def resolve_encoder(name: str, batch_size: int, long_captions: "LongCaptions" = "truncate") -> EncoderChoice:
    """Check the encoder's name and compute its identity; a demonstration encoder is converted at its first use.

    Args:
        name: as `representations.encoder` in a recipe.
        batch_size: maximum number of texts or images per batch.
        long_captions: how to encode texts beyond the encoder's token limit.

    Raises:
        InputError: there is no such encoder.
    """
    kind, _ = _split(name)
    encoder = parse_encoder(name).resolve()
    identity = ENCODERS.with_version(encoder.identity(), kind)
    return EncoderChoice(encoder, name, batch_size, identity, long_captions if encoder.cuts_texts else "truncate")


def parse_encoder(name: str) -> AnyEncoder:
    """Parse the name of an encoder, without looking for its model.

    Raises:
        InputError: the name is invalid, or its package is not installed.
    """
    kind, rest = _split(name)
    found = ENCODERS.get(kind)
    try:
        return found.parse(rest)
    except InputError as error:
        raise InputError(f"encoder {name!r}: {error.message}", error.advice or grammar()) from None


def published_encoder(name: str) -> str:
    """An encoder's name as published: only the name of its folder or weights file.

    Raises:
        InputError: as for `parse_encoder`.
    """
    kind, rest = _split(name)
    return _named(kind, parse_encoder(name).published(rest))


def example(kind: str) -> str:
    """The first form of a kind's names: `clip:MODEL`."""
    return _named(kind, next(iter(ENCODERS.get(kind).forms)))


def examples() -> list[str]:
    """The first form of the names of each kind."""
    return [example(kind) for kind in _usable()]


def beginnings() -> list[str]:
    """The beginnings of encoders' names, or the whole name if it has no rest."""
    return [f"{kind}:" if any(encoder.forms) else kind for kind, encoder in _usable().items()]


def grammar() -> str:
    """Help text with all forms of encoders' names, a line each."""
    lines = [
        f"  {_named(kind, form):<31} {about}"
        for kind, encoder in _usable().items()
        for form, about in encoder.forms.items()
    ]
    models = "MODEL, CLIP and LLM are ORG/NAME or ORG/NAME@REVISION on the Hub, or a folder that begins with /, . or ~."
    return "\n".join(["Encoders:", *lines, models])


def _named(kind: str, rest: str) -> str:
    return f"{kind}:{rest}" if rest else kind


def _usable() -> dict[str, type[AnyEncoder]]:
    return {name: kind for name, kind in ENCODERS.loadable().items() if kind.forms}


def _split(name: str) -> tuple[str, str]:
    """Split a name into kind and rest; an `InputError` if there is no such kind."""
    kind, _, rest = name.partition(":")
    if kind in ENCODERS.own_names:
        return kind, rest
    if near := get_close_matches(kind.lower(), ENCODERS.own_names, n=1):
        raise InputError(f"unknown encoder {name!r}. Did you mean {near[0]}:...?", grammar())
    if not (found := _FOREIGN_KIND.match(name)):
        raise InputError(f"unknown encoder {name!r}.", grammar())
    ENCODERS.get(found[0])
    return found[0], name[found.end() :].removeprefix(":")
