"""Statistics of vectors that merge over partitions: count, mean and variance, overall and per domain."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.schemas import MOMENTS
from unicorn_hf.representations.rows import RowError, Vectors, at_rows, exact_blocks
from unicorn_hf.representations.vectors import tensor_table, tensors_of

_SAME = 1e-12
"""Mean squared distance from the mean below which float32 unit vectors differ only by rounding."""
_CANCELLED = 1e-3
"""The difference between the squares and the square of the mean keeps twelve digits above this share of the squares;
below it, rows are centred first."""
_MERGED_AT_ONCE = 32


@dataclass(frozen=True)
class Part(ABC):
    """A statistic of some rows that merges with those of others, and that a shard stores field by field."""

    count: int

    @classmethod
    @abstractmethod
    def merged(cls, parts: Iterable[Any]) -> Self:
        """The statistic of all parts' rows together."""

    @property
    def identity(self) -> str:
        values = self._values.values()
        return fingerprint(*(value.tobytes().hex() if isinstance(value, np.ndarray) else value for value in values))

    def to_table(self) -> pa.Table:
        return tensor_table({name: np.asarray(value) for name, value in self._values.items()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        arrays: dict[str, Any] = tensors_of(table)
        return cls(**{name: array if array.ndim else array.item() for name, array in arrays.items()})

    @property
    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Moments(Part):
    """Count, mean and squared deviations of vectors, per dimension, in float64.

    Parts merge by the pairwise update of Chan, Golub and LeVeque (1979): neither the split into parts nor their order
    changes a significant digit, and vectors far from the origin lose none to cancellation.
    """

    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]
    """Sum of the squared deviations from the mean, per dimension."""

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """The moments of the rows of an array; only one block at a time is in float64.

        Raises:
            RowError: a row is zero or not finite: it has no direction.
        """
        total, squares = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
        for start, block in exact_blocks(vectors):
            part = np.ones(len(block)) @ block
            _check(block, part, start)
            total += part
            squares += np.einsum("ij,ij->j", block, block)
        mean = total / max(1, len(vectors))
        scatter = squares - len(vectors) * np.square(mean)
        if (scatter < _CANCELLED * squares).any():
            scatter = np.zeros_like(mean)
            for _, block in exact_blocks(vectors):
                block -= mean
                scatter += np.einsum("ij,ij->j", block, block)
        return cls(len(vectors), mean, scatter)

    @classmethod
    def merged(cls, parts: "Iterable[Moments]", dim: int = 0) -> Self:
        """The moments of all parts together, in any order; `dim` is for no parts."""
        parts = [part for part in parts if part.count]
        if not parts:
            return cls(0, np.zeros(dim), np.zeros(dim))
        counts = np.array([part.count for part in parts], dtype=np.float64)
        means = np.stack([part.mean for part in parts])
        # Relative to a close mean, so that the sums stay small.
        near = means[0]
        count = sum(part.count for part in parts)
        mean = near + counts @ (means - near) / count
        means -= mean
        scatter = np.sum([part.scatter for part in parts], axis=0) + counts @ np.square(means)
        return cls(count, mean, scatter)

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def squares(self) -> NDArray[np.float64]:
        """Sum of the squared deviations from the mean, per dimension."""
        return self.scatter

    @property
    def variance(self) -> NDArray[np.float64]:
        """Mean squared deviation, per dimension."""
        return self.squares / self.count

    @property
    def trace(self) -> float:
        """Mean squared distance from the mean: the trace of the covariance."""
        return float(self.squares.sum() / self.count)

    def check_spread(self, what: str) -> None:
        """Check that the vectors differ, so that they do not vanish when their mean is subtracted.

        Raises:
            InputError: there are fewer than two, or all are equal.
        """
        if self.count < 2:
            raise InputError(f"{what}: {self.count} vectors have no spread around their mean", _ADVICE)
        if self.trace < _SAME:
            raise InputError(f"{what}: all {self.count:,} vectors are equal, from row 0 on", _ADVICE)


_ADVICE = "A transfer needs different vectors: use --transfer none to keep them unchanged."


@dataclass(frozen=True)
class SetMean(Part):
    """Only count and mean, in float64; merges like `Moments`."""

    mean: NDArray[np.float64]

    @classmethod
    def merged(cls, parts: "Iterable[SetMean]") -> Self:
        parts = list(parts)
        count = sum(part.count for part in parts)
        near = parts[0].mean
        moved = np.sum([part.count * (part.mean - near) for part in parts], axis=0)
        return cls(count, near + moved / count)


@dataclass(frozen=True)
class Covariance(Moments):
    """Moments with the whole scatter matrix.

    `scatter` is the sum of the outer products of the deviations from the mean: (dimensions, dimensions).
    """

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """
        Raises:
            RowError: a row is zero or not finite: it has no direction.
        """
        mean = Moments.of(vectors).mean
        scatter = np.zeros((len(mean), len(mean)))
        for _, block in exact_blocks(vectors):
            block -= mean
            scatter += block.T @ block
        return cls(len(vectors), mean, scatter)

    @classmethod
    def merged(cls, parts: Iterable[Moments], dim: int = 0) -> Self:
        """The covariance of all parts together; only two are in memory at a time."""
        count, mean, scatter = 0, np.zeros(dim), np.zeros((dim, dim))
        for part in parts:
            if not count:
                count, mean, scatter = part.count, part.mean, part.scatter.copy()
                continue
            gap, total = part.mean - mean, count + part.count
            scatter += part.scatter
            scatter += np.outer(gap, gap * (count * part.count / total))
            mean = mean + gap * (part.count / total)
            count = total
        return cls(count, mean, scatter)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Mean outer product of the deviations."""
        return self.scatter / self.count

    @property
    def squares(self) -> NDArray[np.float64]:
        return self.scatter.diagonal().copy()


@dataclass(frozen=True)
class DomainMoments:
    """Moments of a set by domain, in the order of the domains' names."""

    domains: Mapping[str, Moments]

    @cached_property
    def overall(self) -> Moments:
        return Moments.merged(self.domains.values())

    @classmethod
    def of(cls, vectors: Vectors, domains: Sequence[str]) -> Self:
        """
        Raises:
            RowError: a row is zero or not finite.
        """
        names, codes = np.unique(np.array(domains, dtype=str), return_inverse=True)
        parts = {}
        for code, name in enumerate(names):
            places = np.flatnonzero(codes == code)
            with at_rows(places):
                parts[str(name)] = Moments.of(vectors if len(names) == 1 else vectors[places])
        return cls(parts)

    @classmethod
    def merged(cls, parts: "Iterable[DomainMoments]") -> Self:
        """The moments of all parts together; only a few parts are in memory at a time."""
        by_name: dict[str, list[Moments]] = {}
        for part in parts:
            for name, moments in part.domains.items():
                waiting = by_name.setdefault(name, [])
                waiting.append(moments)
                if len(waiting) == _MERGED_AT_ONCE:
                    waiting[:] = [Moments.merged(waiting)]
        return cls({name: Moments.merged(by_name[name]) for name in sorted(by_name)})

    def to_table(self) -> pa.Table:
        parts = self.domains.values()
        columns = ([getattr(part, name) for part in parts] for name in ("count", "mean", "scatter"))
        return pa.table([list(self.domains), *columns], schema=MOMENTS)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        names, counts = table.column("domain").to_pylist(), table.column("count").to_pylist()
        means, scatters = (
            table.column(name).combine_chunks().flatten().to_numpy().reshape(len(names), -1)
            for name in ("mean", "scatter")
        )
        parts = zip(names, counts, means, scatters, strict=True)
        return cls({name: Moments(count, mean, scatter) for name, count, mean, scatter in parts})


def _check(block: NDArray[np.float64], total: NDArray[np.float64], start: int) -> None:
    # A zero row begins with a zero, and a number that is not finite shows in the sum: few rows need a check.
    bad = np.flatnonzero(block[:, 0] == 0) if np.isfinite(total).all() else np.arange(len(block))
    bad = bad[~np.isfinite(block[bad]).all(axis=1) | ~block[bad].any(axis=1)]
    if len(bad):
        row = block[bad[0]]
        what = "contains NaN" if np.isnan(row).any() else "is zero" if not row.any() else "is not finite"
        raise RowError(f"the vector {what}: it has no direction", row=start + int(bad[0]))
