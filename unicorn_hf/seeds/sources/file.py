"""Seeds in a file."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from unicorn_hf.core.choices import SOURCES
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.sources import SeedSource, package_file


class InFile(SeedSource):
    """Base class of sources in a file."""

    file_keys = ("path",)
    path: str
    """Relative to the recipe; `package:NAME` is a file bundled with unicorn-hf."""

    @property
    def file(self) -> Path:
        return package_file(self.path)

    def content(self) -> str:
        if not self.file.is_file():
            raise InputError(f"no seed file {self.file}")
        return file_sha256(self.file)

    def texts(self, column: str | None, notes: ReadingNotes) -> Iterator[str]:
        """The texts of the file's rows."""
        from unicorn_hf.seeds.files import read_texts

        return read_texts(self.file, column, notes)


@SOURCES.register("file")
class FileSource(InFile):
    """Caption seeds in a file: .txt with one per line; .csv, .tsv, .jsonl, .json, .parquet with a column."""

    taken_keys = ("column",)
    kind: Literal["file"] = "file"
    column: str | None = None
    """Required if the file has several text columns."""

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        return islice(self.texts(self.column, notes), self.limit)
