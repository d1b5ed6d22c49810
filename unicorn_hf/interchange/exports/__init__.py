"""Export formats for trainers, one module each. This module has their common code and is light to import."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

ROWS_PER_FILE = 10_000
"""25 MB of vectors of 1,280 float16."""
VECTOR = "image_embedding"


@dataclass(frozen=True)
class BuiltSet:
    """The rows of a built folder."""

    folder: Path
    tell: Callable[[int], None]
    """Gets the number of rows of each batch that was read."""

    def rows(self, config: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a config (`pretrain`, `instruction`) in order, with these columns.

        `image_embedding` is an array of shape (dim,), in its stored type. A set may have no rows of `instruction`.
        Memory holds a few hundred rows.

        Raises:
            InputError: there is no set, a file cannot be read, or its columns differ from those that a build writes.
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
        """Yield the same rows in lists of `ROWS_PER_FILE`, for one file each."""
        rows = self.rows(config, columns)
        return iter(lambda: list(islice(rows, ROWS_PER_FILE)), [])


class ExportFormat(ABC):
    """An export format. `export --help` shows the first line of its docstring."""

    @abstractmethod
    def write(self, data: BuiltSet, out: Path) -> None:
        """Write the set into the empty folder `out`, which is renamed to its final name when this returns."""


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[object], None]]:
    """Open a JSON list with one item per line; call the returned function with each item."""
    with created(path).open("w", encoding="utf-8") as file:
        file.write("[")
        separator = "\n"

        def add(item: object) -> None:
            nonlocal separator
            file.write(separator + json.dumps(item, ensure_ascii=False))
            separator = ",\n"

        yield add
        file.write("\n]\n")


def created(path: Path) -> Path:
    """Create the path's folder and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
