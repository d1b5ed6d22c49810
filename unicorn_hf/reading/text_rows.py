"""Reads the rows of text files: a text per line, or tables."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.data_file import (
    CAPTION_KEYS,
    TURNS_KEYS,
    DataFile,
    Row,
    known_names,
    opened_text,
    refuse_repeated,
    take,
)
from unicorn_hf.reading.delimited import SEPARATORS, Table

_FIRST_LINES = 20
_SENTENCE_WORDS = 4
_NAME = re.compile(r"\s*[\w.-]+\s*")
_UNSEPARATED = re.compile(r"\b(caption|text)s?\b([^\w\s-]|\s\s)|([^\w\s-]|\s\s)(caption|text)s?\b", re.IGNORECASE)
"""A separator that is not known, before or after the name of a text column."""
_ENDS = ".!?。！？।؟"


def text_rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    if file.column is not None:
        told = f"{file.name}: a .txt file has one text per line and no column {file.column!r}"
        raise InputError(told, f"Omit {file.column_option}. A table needs the suffix .csv or .tsv.")
    with opened_text(file) as text:
        take(file, notes, text)
        lines = text.lines()
        first = list(islice(lines, _FIRST_LINES))
        _refuse_table(file, [line for _, line in first if line.strip()])
        for number, line in chain(first, lines):
            yield number, line.strip(), None


def _refuse_table(file: DataFile, lines: Sequence[str]) -> None:
    """Raise an `InputError` if the first lines of a .txt are a table: the names of columns, or as many tabs in each."""
    if lines and _is_header(lines[0]):
        raise InputError(
            f"{file.name}, line 1: it looks like the header of a table, not a text: {lines[0].strip()!r}",
            f"Rename the file to {file.path.stem}.csv.",
        )
    tabs = {line.strip().count("\t") for line in lines}
    if len(lines) > 1 and len(tabs) == 1 and tabs != {0}:
        raise InputError(
            f"{file.name}, line 1: it looks like the row of a table, not a text: {lines[0].strip()!r}",
            f"Rename the file to {file.path.stem}.tsv, and put the names of its columns in the first line.",
        )


def _is_header(line: str) -> bool:
    names = re.split(f"[{''.join(SEPARATORS)}]", line.strip())
    return all(map(_NAME.fullmatch, names)) and any(name.strip().casefold() in CAPTION_KEYS for name in names)


def table_rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    with opened_text(file) as text:
        table = Table(text, tabs=file.suffix == ".tsv")
        if not table.header:
            return
        names = known_names(file, table.header)
        key = _text_column(file, table, names)
        known = [name for name in names if name in file.keys and name != key]
        take(file, notes, text, str(table.dialect), ", ".join([*([f"column {key}"] if key else []), *known]))
        position = names.index(key) if key else 0
        for number, row in table.rows():
            if not "".join(row).strip():
                yield number, "", None
                continue
            if len(row) <= position:
                raise InputError(
                    f"{file.place(number)}: {len(row)} fields, but {key!a} is field {position + 1}",
                    "Give each row a field for each column of the header, or remove the row.",
                )
            if row == table.header:
                notes.leave("rows", "header_again", file.place(number))
                continue
            columns = zip(names, row, strict=False)
            yield number, {name: field for name, field in columns if field or name == key}, None


def _text_column(file: DataFile, table: Table, names: Sequence[str]) -> str | None:
    """A table's text column; None if it has only conversations.

    Raises:
        InputError: it has neither, or the header looks like a row or has other separators.
    """
    where = f"{file.name}, line {table.header_line}"
    key = file.text_key(names)
    told = file.column is not None or file.named_key(names)
    if not told and (sentence := next(filter(_reads_like_text, names), None)):
        advice = f"Put the column names in the first line, e.g. {'id,' if len(names) > 1 else ''}caption."
        if len(names) == 1:
            advice += f" Or rename the file to {file.path.stem}.txt, which has no header."
        raise InputError(f"{where}: the header looks like a text, not a column name: {sentence!r}", advice)
    if not told and len(names) == 1 and _UNSEPARATED.search(names[0]):
        raise InputError(
            f"{where}: the only column has the name {names[0]!a}: its separator is not known",
            "Separate the columns by commas, semicolons, tabs or |, without quotation marks around whole lines.",
        )
    if key is None and not set(TURNS_KEYS) & set(names) & file.keys:
        raise file.no_column(where, names)
    refuse_repeated(where, names, {key, *file.keys})
    return key


def _reads_like_text(name: str) -> bool:
    return len(name.split()) >= _SENTENCE_WORDS or (len(name) > 1 and name[-1] in _ENDS)
