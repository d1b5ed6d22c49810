"""A sketch of a set's captions: two samples of hashes, from which two sets know what they share without their rows.

A sample has the smallest hashes of all items (Broder, On the resemblance and containment of documents, 1997). Every set
keeps the same captions by this rule, so the share of one set's hashes that another has estimates the share of its
captions.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from unicorn_hf.builders.diversity import run_hashes
from unicorn_hf.builders.overlap import RUN_WORDS
from unicorn_hf.captions.step import digest_of
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.words import words

NUM_KEPT = 2048
"""Hashes of a sample: the standard error of a share is 1.1 points at most, and both samples take 44 KB in JSON."""
FORM = 1
"""Raise it if equal texts get other hashes: sketches of different forms are not compared."""
_BYTES = 8
_Z = 1.96

Hashes = NDArray[np.uint64]


def _unpacked(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) > 2 * NUM_KEPT * _BYTES:
        raise ValueError(f"a sample has {NUM_KEPT:,} hashes at most")
    return base64.b64decode(value, validate=True)


def _checked(value: bytes) -> bytes:
    if len(value) % _BYTES or len(value) > NUM_KEPT * _BYTES:
        raise ValueError(f"a sample has {NUM_KEPT:,} hashes of {_BYTES} bytes at most")
    hashes = _hashes(value)
    if (hashes[1:] <= hashes[:-1]).any():
        raise ValueError("the hashes of a sample ascend")
    return value


Sample = Annotated[
    bytes,
    BeforeValidator(_unpacked),
    AfterValidator(_checked),
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
]
"""The `NUM_KEPT` smallest distinct hashes, or all if there are fewer, ascending: 64 bits each, little-endian; base64 in
JSON."""


class Sketch(Figures):
    """The sketch of some captions, or of all."""

    form: int = FORM
    captions: Sample = b""
    """Of captions by their words: `captions.step.digest_of`."""
    runs: Sample = b""
    """Of sequences of `RUN_WORDS` words within captions, which changed captions still share. A character of a script
    without spaces is a word here."""

    @property
    def is_known(self) -> bool:
        """Whether this version can compare it."""
        return self.form == FORM

    @classmethod
    def of(cls, captions: Sequence[str]) -> "Sketch":
        *_, runs = run_hashes([words(caption) for caption in captions], RUN_WORDS)
        digests = np.array([digest_of(caption) for caption in captions], np.uint64)
        return cls(captions=_packed([digests]), runs=_packed([runs]))

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        parts = list(parts)
        samples = {name: _packed([_hashes(getattr(part, name)) for part in parts]) for name in ("captions", "runs")}
        return cls(**samples)


def _hashes(sample: bytes) -> Hashes:
    return np.frombuffer(sample, "<u8").astype(np.uint64, copy=False)


def _packed(parts: Sequence[Hashes]) -> bytes:
    least = np.unique(np.concatenate([*parts, np.zeros(0, np.uint64)]))[:NUM_KEPT]
    return least.astype("<u8").tobytes()


@dataclass(frozen=True)
class Share:
    """The share of a set's distinct captions, or of its runs of words, that another set has."""

    share: float
    lower: float
    upper: float
    """Its interval at 95 % (Wilson 1927); both bounds equal the share if it is exact."""

    @classmethod
    def of(cls, num_shared: int, num: int, *, is_exact: bool) -> "Share | None":
        """None if `num`, the items that were looked up in the other set, is 0."""
        if not num:
            return None
        share = num_shared / num
        if is_exact:
            return cls(share, share, share)
        spread = _Z * (share * (1 - share) / num + _Z**2 / (4 * num**2)) ** 0.5
        middle, scale = share + _Z**2 / (2 * num), 1 + _Z**2 / num
        return cls(share, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))

    @property
    def words(self) -> str:
        """In per cent, with its interval unless it is exact."""
        if self.lower == self.upper:
            return f"{100 * self.share:.1f} %"
        return f"{100 * self.share:.1f} % ({100 * self.lower:.1f} to {100 * self.upper:.1f})"


@dataclass(frozen=True)
class Common:
    """What a set has in common with another, by their sketches; None if unknown."""

    captions: Share | None = None
    """Of captions with the same words."""
    runs: Share | None = None
    """Of runs of `RUN_WORDS` words."""

    @property
    def largest(self) -> float:
        return max((one.share for one in (self.captions, self.runs) if one), default=0.0)


class Overlaps:
    """What each of some sets has in common with each other one, from their sketches. Takes `num_shared`'s time."""

    def __init__(self, sketches: Sequence[Sketch | None]) -> None:
        known = [sketch if sketch and sketch.is_known else Sketch() for sketch in sketches]
        self._samples = {name: [_hashes(getattr(one, name)) for one in known] for name in ("captions", "runs")}
        self._shared = {name: num_shared(samples) for name, samples in self._samples.items()}

    def of(self, one: int, other: int) -> Common:
        """What the set with the number `one` has in common with `other`."""
        return Common(**{name: self._share(name, one, other) for name in self._samples})

    def pairs(self) -> Iterator[tuple[int, int]]:
        """The pairs of different sets that share a hash, in both orders."""
        some = self._shared["captions"] + self._shared["runs"] > 0
        np.fill_diagonal(some, False)
        yield from zip(*np.nonzero(some), strict=True)

    def _share(self, name: str, one: int, other: int) -> Share | None:
        samples, shared = self._samples[name], self._shared[name]
        own = samples[one]
        # Up to its largest hash a full sample is complete, so above it nothing can be said.
        ends = [sample[-1] for sample in (own, samples[other]) if len(sample) == NUM_KEPT]
        num = int(np.searchsorted(own, min(ends), "right")) if ends else len(own)
        if not len(samples[other]):
            return None
        is_exact = num == len(own) < NUM_KEPT
        return Share.of(int(shared[one, other]), num, is_exact=is_exact)


_NONE = np.zeros(0, np.uint64)


def num_shared(sets: Sequence[Hashes]) -> NDArray[np.int64]:
    """Count hashes that sets share: an array of shape (sets, sets), with the sets' sizes in the diagonal.

    Takes about 50 bytes for each hash, and time for the hashes and the shared ones of each pair.

    Args:
        sets: distinct hashes of each set, shape (hashes,).
    """
    number = len(sets)
    values = np.concatenate([*sets, _NONE])
    owner = np.repeat(np.arange(number, dtype=np.int32), [len(one) for one in sets])
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]
    shared = np.diag([len(one) for one in sets]).astype(np.int64)
    # Equal values stand together, in the order of their owners.
    at, distance = np.arange(len(values)), 0
    while len(at):
        distance += 1
        at = at[: np.searchsorted(at, len(values) - distance)]
        at = at[values[at] == values[at + distance]]
        pairs = np.bincount(owner[at].astype(np.int64) * number + owner[at + distance], minlength=number**2)
        pairs = pairs.reshape(number, number)
        shared += pairs + pairs.T
    return shared
