"""Forms that trainers read a set in: a module for each. What they have in common is here, and light to import."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS_PER_FILE = 10_000
"""25 MB of vectors of 1,280 float16."""
VECTOR = "image_embedding"


@dataclass(frozen=True)
class BuiltSet:
    """The rows of a published folder."""

    folder: Path
    tell: Callable[[int], None]
    """Is told of each batch of rows that has been taken."""

    def rows(self, config: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows of a config (`pretrain`, `instruction`) in order, with these columns.

        `image_embedding` is an array of shape (dim,), in the type that it is stored in. A set may have no rows of
        `instruction`. A few hundred rows are in memory at a time.

        Raises:
            InputError: there is no set, a file cannot be read, or its columns are not what a build writes.
        """
        from unicorn_hf.builders.rows import batches, vectors_of

        text = [column for column in columns if column != VECTOR]
        for batch in batches(self.folder, config, list(columns)):
            rows = batch.select(text).to_pylist() if text else [{} for _ in range(batch.num_rows)]
            vectors = vectors_of(batch) if VECTOR in columns else None
            for at, row in enumerate(rows):
                yield row if vectors is None else {**row, VECTOR: vectors[at]}
            self.tell(batch.num_rows)

    def files(self, config: str, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """The same, as many at a time as go into one file: `ROWS_PER_FILE`."""
        rows: list[dict[str, Any]] = []
        for row in self.rows(config, columns):
            rows.append(row)
            if len(rows) == ROWS_PER_FILE:
                yield rows
                rows = []
        if rows:
            yield rows


class ExportFormat(ABC):
    """A form that a set is written in. `export --help` shows the first line of its docstring."""

    @abstractmethod
    def write(self, data: BuiltSet, out: Path) -> None:
        """Write the set into the empty folder `out`, which is moved to its place when this returns."""
