"""The texts of a file's rows."""

import os
from collections.abc import Iterator
from pathlib import Path

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.files import DataFile, leave_unread, rows, text_of

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read_texts(path: Path, column: str | None, notes: ReadingNotes) -> Iterator[str]:
    """The texts, in the file's order; none of a row is an empty one.

    Raises:
        InputError: the file is missing, not UTF-8 (the line is named), of an unknown kind, or lacks the column.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file of seeds")
    if not path.is_file():
        raise InputError(f"no seed file {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    # By its name alone: examples of what is left out are published.
    file = DataFile(path, path.name, column, column_option="--seed-column")
    if file.suffix not in SUFFIXES:
        raise InputError(f"{path}: seeds are read from {', '.join(SUFFIXES)} files, not from {file.suffix or 'this'}")
    return _texts(file, notes)


def _texts(file: DataFile, notes: ReadingNotes) -> Iterator[str]:
    for number, value, _ in rows(file, notes):
        if isinstance(value, str) and (file.column is None or not value):
            yield value
            continue
        text = text_of(file, number, value)
        leave_unread(file, notes, value, number)
        yield text or ""
