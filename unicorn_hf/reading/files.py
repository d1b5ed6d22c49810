"""Reads the rows of an untrusted file of any supported kind."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.data_file import DataFile, Row
from unicorn_hf.reading.json_rows import json_rows
from unicorn_hf.reading.parquet_rows import parquet_rows
from unicorn_hf.reading.text_rows import table_rows, text_rows
from unicorn_hf.reading.values import string_of, wrong

ROW = "A row is a caption, or an object with one."


def rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    """The rows of a file; `notes` collects how it is read, and which columns are not.

    Raises:
        InputError: it is damaged, has another form, or lacks the column. Rows before that place were already yielded.
    """
    yield from _READERS[file.suffix](file, notes)


def text_of(file: DataFile, number: int, value: Any) -> str | None:
    """The text of a row, which must have one; None if it is null.

    Raises:
        InputError: the row has another form, or lacks the column.
    """
    if isinstance(value, str) and file.column is None:
        return value if value.isascii() else string_of(value, file.place(number))
    if not isinstance(value, dict):
        wanted = "a string or an object" if file.column is None else f"an object with {file.column!r}"
        raise wrong(file.place(number), wanted, value, f"Omit {file.column_option}." if file.column else ROW)
    key = file.text_key(value)
    if key is None:
        raise file.no_column(file.place(number), value)
    found = value[key]
    if found is None or (isinstance(found, str) and found.isascii()):
        return found
    return string_of(found, f'{file.place(number)}, field "{key}"', "text")


def leave_unread(file: DataFile, notes: ReadingNotes, value: Any, number: int) -> None:
    """Count the fields of a row that are not read."""
    if isinstance(value, dict) and len(value) > 1:
        key, place = file.text_key(value), partial(file.place, number)
        for name, found in value.items():
            if name != key and name not in file.keys and found is not None:
                notes.leave(f"values of {name!a}", "not_read", place, found)


_READERS: dict[str, Callable[[DataFile, ReadingNotes], Iterator[Row]]] = {
    ".json": json_rows,
    ".json.zip": json_rows,
    ".jsonl": json_rows,
    ".txt": text_rows,
    ".csv": table_rows,
    ".tsv": table_rows,
    ".parquet": parquet_rows,
}
