"""Vectors that are kept: some of a set's rows, the same ones however the set is split."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.representations.moments import Part
from unicorn_hf.representations.rows import Vectors

Half = NDArray[np.float16]


@dataclass(frozen=True)
class Sample(Part):
    """At most `size` rows of a set: those whose bytes have the smallest hashes; equal rows count as one.

    They are stored as float16, which takes half of the space: unit vectors change by less than 0.0005 of their norm.
    The hash is of these bytes, so that neither the split into parts nor the order of the rows matters.
    """

    size: int
    vectors: Half
    """(rows, dimensions), in the order of their hashes."""

    @classmethod
    def of(cls, vectors: Vectors, size: int) -> Self:
        return cls._smallest(len(vectors), size, vectors.astype(np.float16))

    @classmethod
    def merged(cls, parts: "Iterable[Sample]") -> Self:
        """The sample of all parts' rows; only two parts are in memory at a time.

        Raises:
            ValueError: there are no parts.
        """
        whole: Self | None = None
        for part in parts:
            if whole is None:
                whole = cls(part.count, part.size, part.vectors)
                continue
            size = min(whole.size, part.size)
            whole = cls._smallest(whole.count + part.count, size, np.concatenate([whole.vectors, part.vectors]))
        if whole is None:
            raise ValueError("a sample of no parts")
        return whole

    @classmethod
    def _smallest(cls, count: int, size: int, vectors: Half) -> Self:
        hashes = [xxhash.xxh3_64_intdigest(row) for row in np.ascontiguousarray(vectors)]
        _, chosen = np.unique(np.array(hashes, dtype=np.uint64), return_index=True)
        return cls(count, size, vectors[chosen[:size]])

    def first(self, size: int) -> Self:
        """A sample of at most `size` rows of the same set."""
        return type(self)(self.count, size, self.vectors[:size])

    @property
    def identity(self) -> str:
        return fingerprint(self.count, self.vectors.shape, xxhash.xxh3_128_hexdigest(self.vectors.tobytes()))
