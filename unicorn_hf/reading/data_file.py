"""A file to read: its kind, its columns, the places of its rows in messages."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.json_values import Form, form_of
from unicorn_hf.reading.kinds import refuse_another_kind
from unicorn_hf.reading.text import Text
from unicorn_hf.reading.zipped import unzipped

CAPTION_KEYS = ("caption", "text")
"""Default columns and keys of the text."""
TURNS_KEYS = ("conversations", "messages", "conversation")
"""Columns and keys of a conversation; the first that a row has is read."""
EMBEDDING = "image_embedding"
_UNITS = {"list": "item", "object": "item", ".parquet": "row", ".tar": "sample"}

Row = tuple[int, Any, "Callable[[], NDArray[Any]] | None"]
"""A row's number, its value (text or a dict), and a function that reads its embedding."""


@dataclass(frozen=True)
class DataFile:
    """A file to read."""

    path: Path
    name: str
    """The file's name in errors and the recipe."""
    column: str | None = None
    """The column or key of the texts."""
    sha256: str | None = None
    """The required hash of its content."""
    keys: frozenset[str] = frozenset()
    """Further columns and keys to read."""
    column_option: str = "--column"
    """The option that names the column."""
    column_key: str = ""
    """How a recipe names it, to append to advice."""

    @cached_property
    def suffix(self) -> str:
        """The suffix that determines the kind of file, in lower case."""
        suffix = self.path.suffix.lower()
        return ".json.zip" if suffix == ".zip" and self.path.stem.lower().endswith(".json") else suffix

    @cached_property
    def form(self) -> Form:
        """The form of a JSON file, by its content."""
        with opened_text(self) as text:
            return form_of(text, lines=self.suffix == ".jsonl")

    def place(self, number: int) -> str:
        """The description of a row in messages."""
        kind = self.form if self.suffix in (".json", ".json.zip", ".jsonl") else self.suffix
        return f"{self.name}, {_UNITS.get(kind, 'line')} {number}"

    def text_key(self, names: Collection[str]) -> str | None:
        """The column or key of the text, which may be the only one; or None."""
        only = next(iter(names)) if self.column is None and len(names) == 1 else None
        return self.named_key(names) or (only if only not in self.keys else None)

    def named_key(self, names: Collection[str]) -> str | None:
        """The column or key whose name says that it is the text, or None."""
        if self.column is not None:
            return self.column if self.column in names else None
        found = next((key for key in CAPTION_KEYS if key in names), None)
        return found or next((name for name in names if name.casefold() in CAPTION_KEYS), None)

    def no_column(self, where: str, names: Collection[str]) -> InputError:
        wanted = repr(self.column) if self.column else " or ".join(CAPTION_KEYS)
        has = ", ".join(map(ascii, names)) or "no text columns"
        advice = f"Specify the column of the texts with {self.column_option} NAME{self.column_key}."
        if not names:
            advice = "Write the texts into a column caption of strings."
        return InputError(f"{where}: no column {wanted}; it has {has}", advice)


@contextmanager
def opened(file: DataFile) -> Iterator[IO[bytes]]:
    """The bytes of a file.

    Raises:
        InputError: it cannot be opened, or is of another kind than its suffix says.
    """
    try:
        with file.path.open("rb") as stream:
            refuse_another_kind(stream, file.name, file.path, file.suffix)
            yield stream
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(f"{file.path}: {error.strerror}") from error


@contextmanager
def opened_text(file: DataFile) -> Iterator[Text]:
    with opened(file) as stream:
        if file.suffix == ".json.zip":
            with unzipped(stream, file.name) as inner:
                yield Text(inner, file.name, file.path)
        else:
            yield Text(stream, file.name, file.path)


def take(file: DataFile, notes: ReadingNotes, text: Text | None, *parts: str) -> None:
    """Note how a file is read, if its name does not say it."""
    unusual = text is not None and text.encoding != "UTF-8"
    if parts or unusual:
        notes.take(f"{file.name}: {', '.join([*parts, *([f'encoding {text.encoding}'] if text else [])])}")


def known_names(file: DataFile, names: Sequence[str]) -> list[str]:
    """The names of columns; those of `file.keys` in small letters."""
    return [low if (low := name.casefold()) in file.keys and low not in names else name for name in names]


def refuse_repeated(where: str, names: Sequence[str], read: Collection[str | None]) -> None:
    """Raise an `InputError` if several of the columns that are read have one name."""
    name, number = Counter(name for name in names if name in read).most_common(1)[0]
    if number > 1:
        raise InputError(f"{where}: {number} columns have the name {name!a}", "Give each its own name.")
