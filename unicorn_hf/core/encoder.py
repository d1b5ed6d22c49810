"""What every encoder is to the rest of the program; those that come with unicorn-hf are in `unicorn_hf.encoders`.

An encoder is named `KIND:REST`, e.g. `open_clip:ViT-B-32/laion2b_s34b_b79k`, `hashing:512`. Each kind is one class.
It reads the rest, says what it needs, and opens what does the work. A kind of another package is `PACKAGE:NAME`,
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
from unicorn_hf.core.model_source import HubModel

if TYPE_CHECKING:
    from unicorn_hf.core.generation import ImageEncoder, TextEncoder
    from unicorn_hf.core.recipe import LongCaptions

_FOREIGN_KIND = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9._-]+(?=:|\Z)")


@dataclass(frozen=True, slots=True)
class AnyEncoder(ABC):
    """An encoder, as `representations.encoder` names it. A subclass is a frozen dataclass of what the name says.

    `--help` imports it: what does the work is imported by `open`.
    """

    forms: ClassVar[Mapping[str, str]] = {}
    """What may stand behind `KIND:`, with what it is; the first one stands for all of them in the help of a command.

    The empty form is the kind alone. Without forms a user cannot ask for it.
    """
    encodes: ClassVar[bool] = True
    """False where vectors are there already, of whatever length, and nothing can be encoded."""
    uses_gpu: ClassVar[bool] = True
    """Whether it has a use for one."""
    has_image_side: ClassVar[bool] = True
    """Whether it has an image tower that somebody trained."""
    cuts_texts: ClassVar[bool] = True
    """Whether it reads so many tokens at most: `long_captions` says what becomes of the others."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports, beside the base dependencies, in this order."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that its vectors may depend on: the card names their versions, and all workers need the same."""

    @classmethod
    @abstractmethod
    def parse(cls, rest: str) -> Self:
        """The encoder whose name ends so; `rest` is empty where the kind stands alone.

        Raises:
            InputError: there is no such name; the message is about the rest alone.
        """

    @abstractmethod
    def identity(self) -> str:
        """Fingerprint of the model, and so of the space that its vectors are in.

        Raises:
            InputError: there is no such model.
        """

    @abstractmethod
    def open(self, batch_size: int, long_captions: "LongCaptions") -> "TextEncoder":
        """The text side. It is called in a worker.

        Raises:
            InputError: there is no such model, or it is not installed.
            RunError: its weights cannot be had or do not fit.
        """

    def open_images(self, batch_size: int) -> "ImageEncoder":
        """The image side, of an encoder that has one; raises as `open`."""
        raise NotImplementedError

    def resolve(self) -> Self:
        """What is opened: a demonstration model is converted on its first use.

        Raises:
            InputError: there is no such model.
        """
        return self

    @property
    def known_dim(self) -> int | None:
        """Length of its vectors, where that is known before it is opened."""
        return None

    @property
    def is_demo(self) -> bool:
        """Whether it is one of the demonstration models."""
        return False

    @property
    def rehearsal(self) -> str:
        """Why its vectors are no training data, as a sentence for the card; empty where they are."""
        return ""

    @property
    def names_file(self) -> bool:
        """Whether its name is that of a file or folder of this machine."""
        return False

    def published(self, rest: str) -> str:
        """`rest`, which this encoder was parsed from, without the folders above its own folder or file."""
        return rest

    def hub_models(self) -> list[HubModel]:
        """The models of the Hub that it loads."""
        return []

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        """What stands in its way on this machine, absent modules aside."""
        yield from ()


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder whose sides can be opened in another process."""

    encoder: AnyEncoder
    name: str
    batch_size: int
    identity: str
    """Fingerprint of the model, and so of the space that its vectors are in."""
    long_captions: "LongCaptions" = "truncate"

    @property
    def has_image_side(self) -> bool:
        return self.encoder.has_image_side

    @property
    def uses_gpu(self) -> bool:
        """Whether it has a use for one."""
        return self.encoder.uses_gpu

    @property
    def text_identity(self) -> str:
        """Fingerprint of all that a caption's vector depends on."""
        return fingerprint(self.identity, self.long_captions)

    def open(self) -> "TextEncoder":
        """The text side.

        Raises:
            InputError: there is no such model.
            RunError: its weights cannot be had or do not fit.
        """
        return self.encoder.open(self.batch_size, self.long_captions)

    def open_images(self) -> "ImageEncoder":
        """The image side, which shares a space with the text side.

        Raises:
            InputError: there is none, or no such model.
            RunError: its weights cannot be had or do not fit.
        """
        if not self.has_image_side:
            having = [name for name, kind in _usable().items() if kind.has_image_side]
            raise InputError(
                f"the encoder {self.name} has no image side",
                f"These have one: {', '.join(map(example, having))}. --transfer mean_shift needs none.",
            )
        return self.encoder.open_images(self.batch_size)


def resolve_encoder(name: str, batch_size: int, long_captions: "LongCaptions" = "truncate") -> EncoderChoice:
    """Check the encoder's name and find its identity; a demonstration encoder is converted on its first use.

    Args:
        name: as `representations.encoder` in a recipe.
        batch_size: texts, or images, in one pass at most.
        long_captions: what becomes of texts that are longer than the encoder reads.

    Raises:
        InputError: there is no such encoder.
    """
    kind, _ = _split(name)
    encoder = parse_encoder(name).resolve()
    identity = encoder.identity()
    if ENCODERS.provider(kind):
        identity = fingerprint(identity, ENCODERS.identity(kind))
    return EncoderChoice(encoder, name, batch_size, identity, long_captions if encoder.cuts_texts else "truncate")


def parse_encoder(name: str) -> AnyEncoder:
    """The encoder of this name; no model is looked for.

    Raises:
        InputError: it is not of the grammar, or the package that has it is not installed.
    """
    kind, rest = _split(name)
    found = ENCODERS.get(kind)
    try:
        return found.parse(rest)
    except InputError as error:
        raise InputError(f"encoder {name!r}: {error.message}", error.advice or grammar()) from None


def published_encoder(name: str) -> str:
    """An encoder's name without the folders above its own folder or file of weights.

    Raises:
        InputError: as of `parse_encoder`.
    """
    kind, rest = _split(name)
    return _named(kind, parse_encoder(name).published(rest))


def example(kind: str) -> str:
    """How encoders of a kind are named, in a word: `clip:MODEL`."""
    return _named(kind, next(iter(ENCODERS.get(kind).forms)))


def examples() -> list[str]:
    """How encoders of each kind are named, in a word."""
    return [example(kind) for kind in _usable()]


def beginnings() -> list[str]:
    """What the names of encoders begin with: all of a name that has no rest."""
    return [f"{kind}:" if any(encoder.forms) else kind for kind, encoder in _usable().items()]


def grammar() -> str:
    """All forms of encoders' names, a line each."""
    lines = [
        f"  {_named(kind, form):<31} {about}"
        for kind, encoder in _usable().items()
        for form, about in encoder.forms.items()
    ]
    return "\n".join(
        [
            "An encoder is one of",
            *lines,
            "MODEL, CLIP and LLM are ORG/NAME or ORG/NAME@REVISION on the Hub, or a folder that begins with /, . or ~.",
        ]
    )


def _named(kind: str, rest: str) -> str:
    return f"{kind}:{rest}" if rest else kind


def _usable() -> dict[str, type[AnyEncoder]]:
    return {name: kind for name, kind in ENCODERS.loadable().items() if kind.forms}


def _split(name: str) -> tuple[str, str]:
    """Kind and rest of a name.

    Raises:
        InputError: there is no such kind.
    """
    kind, _, rest = name.partition(":")
    if kind in ENCODERS.own_names:
        return kind, rest
    if near := get_close_matches(kind.lower(), ENCODERS.own_names, n=1):
        raise InputError(f"unknown encoder {name!r}. Did you mean {near[0]}:...?", grammar())
    if not (found := _FOREIGN_KIND.match(name)):
        raise InputError(f"unknown encoder {name!r}.", grammar())
    ENCODERS.get(found[0])
    return found[0], name[found.end() :].removeprefix(":")
