"""Statistics of a set of vectors, mergeable over partitions."""

from dataclasses import dataclass
from functools import reduce
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.core.schemas import MOMENTS


@dataclass(frozen=True)
class Moments:
    """Count and sum of vectors, in float64: float32 sums of a million unit vectors are off in the fifth digit."""

    count: int
    sum: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> Self:
        return cls(len(vectors), vectors.sum(axis=0, dtype=np.float64))

    @classmethod
    def merged(cls, parts: "list[Moments]") -> "Moments":
        return reduce(lambda one, other: Moments(one.count + other.count, one.sum + other.sum), parts)

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.sum / self.count

    def to_table(self) -> pa.Table:
        return pa.table([[self.count], [self.sum.tolist()]], schema=MOMENTS)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        row = table.to_pylist()[0]
        return cls(row["count"], np.array(row["sum"], dtype=np.float64))
