"""Seeds in a file."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from unicorn_hf.core.choices import SOURCES
from unicorn_hf.core.fingerprint import file_sha256
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.sources import SeedSource, package_file

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")


class InFile(SeedSource):
    """Base class of sources in a file."""

    file_keys = ("path",)
    column_advice: ClassVar[tuple[str, str]] = ("--seed-column", " (in a recipe: column: NAME)")
    """How a command and a recipe name the column; see `DataFile`."""
    path: str
    """Relative to the recipe; `package:NAME` is a file bundled with unicorn-hf."""

    @property
    def file(self) -> Path:
        return package_file(self.path)

    def content(self) -> str:
        self._check()
        return file_sha256(self.file)

    def _check(self) -> None:
        """Raise an `InputError` if the file is missing, of an unknown kind, or cannot be read."""
        from unicorn_hf.reading.kinds import check_file

        check_file(self.file, f"no seed file {self.file}", self.file.suffix.lower(), SUFFIXES)

    def texts(self, column: str | None, notes: ReadingNotes) -> Iterator[str]:
        """The texts, in the file's order; a missing text is an empty string.

        Raises:
            InputError: the file is missing, not Unicode text, of an unknown kind, or lacks the column.
        """
        from unicorn_hf.reading.data_file import DataFile
        from unicorn_hf.reading.files import leave_unread, rows, text_of

        self._check()
        path = self.file
        # Only the file's name: examples of skipped rows are published.
        option, key = self.column_advice
        file = DataFile(path, path.name, column, column_option=option, column_key=key)
        for number, value, _ in rows(file, notes):
            notes.place = partial(file.place, number)
            if isinstance(value, str) and (column is None or not value):
                yield value
                continue
            text = text_of(file, number, value)
            leave_unread(file, notes, value, number)
            yield text or ""


@SOURCES.register("file")
class FileSource(InFile):
    """Caption seeds in a file: .txt with one per line; .csv, .tsv, .jsonl, .json, .parquet with a column."""

    taken_keys = ("column",)
    kind: Literal["file"] = "file"
    column: str | None = None
    """Required if the file has several text columns."""

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        return islice(self.texts(self.column, notes), self.limit)


class EvaluationFile(FileSource):
    """The texts of an evaluation set in a file, which a command names."""

    column_advice = ("--column", "")
