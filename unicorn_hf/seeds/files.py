"""Reads the texts of a seed file."""

import os
from collections.abc import Iterator
from pathlib import Path

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.files import DataFile, leave_unread, rows, text_of

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read_texts(path: Path, column: str | None, notes: ReadingNotes) -> Iterator[str]:
    """The texts, in the file's order; a missing text is an empty string.

    Raises:
        InputError: the file is missing, not Unicode text, of an unknown kind, or lacks the column.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a seed file")
    if not path.is_file():
        raise InputError(f"no seed file {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    # Only the file's name: examples of skipped rows are published.
    file = DataFile(path, path.name, column, column_option="--seed-column")
    if file.suffix not in SUFFIXES:
        raise InputError(f"{path}: unknown kind of seed file", f"Use one of {', '.join(SUFFIXES)}.")
    for number, value, _ in rows(file, notes):
        if isinstance(value, str) and (file.column is None or not value):
            yield value
            continue
        text = text_of(file, number, value)
        leave_unread(file, notes, value, number)
        yield text or ""
