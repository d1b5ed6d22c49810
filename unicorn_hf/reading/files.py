"""Reads the rows of an untrusted file of any supported kind."""

import json
import shlex
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.delimited import Table
from unicorn_hf.reading.errors import reading_parquet
from unicorn_hf.reading.json_values import LOOK, Form, form_of, list_items, object_members
from unicorn_hf.reading.text import Text
from unicorn_hf.reading.values import string_of, wrong
from unicorn_hf.reading.zipped import unzipped

CAPTION_KEYS = ("caption", "text")
"""Default columns and keys of the text."""
EMBEDDING = "image_embedding"
BATCH_ROWS = 500
_UNITS = {"list": "item", "object": "item", ".parquet": "row", ".tar": "sample"}
_SENTENCE_WORDS = 4
_ENDS = ".!?。！？।؟"
_LISTS_SHOWN = 5
_MOST_KEYS = 1000
"""An object with more keys is no table of lists: its keys are ids."""

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
        """The column or key of the text, or None."""
        if self.column is not None:
            return self.column if self.column in names else None
        found = next((key for key in CAPTION_KEYS if key in names), None)
        found = found or next((name for name in names if name.casefold() in CAPTION_KEYS), None)
        only = next(iter(names)) if len(names) == 1 else None
        return found or (only if only not in self.keys else None)

    def no_column(self, where: str, names: Collection[str]) -> InputError:
        wanted = repr(self.column) if self.column else " or ".join(CAPTION_KEYS)
        has = ", ".join(map(ascii, names)) or "no text columns"
        return InputError(
            f"{where}: no column {wanted}; it has {has}",
            f"Specify the column of the texts with {self.column_option} NAME.",
        )


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
        raise wrong(file.place(number), wanted, value)
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
            if name != key and name not in file.keys:
                notes.leave(f"values of {name!a}", "not_read", place, found)


@contextmanager
def opened(file: DataFile) -> Iterator[IO[bytes]]:
    """The bytes of a file.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        with file.path.open("rb") as stream:
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


def _text_lines(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    if file.column is not None:
        raise InputError(f"{file.name}: a .txt file has one text per line and no column {file.column!r}")
    with opened_text(file) as text:
        _take(file, notes, text)
        for number, line in text.lines():
            yield number, line.strip(), None


def _delimited(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    with opened_text(file) as text:
        table = Table(text, tabs=file.suffix == ".tsv")
        if not table.header:
            return
        position = _text_position(file, table)
        names = table.header
        key = names[position]
        known = [name for name in names if name in file.keys and name != key]
        _take(file, notes, text, str(table.dialect), ", ".join([f"column {key}", *known]))
        for number, row in table.rows():
            if not row:
                yield number, "", None
                continue
            if len(row) <= position:
                raise InputError(
                    f"{file.place(number)}: {len(row)} fields, but {key!a} is field {position + 1}",
                    "Give each row a field for each column of the header.",
                )
            columns = zip(names, row, strict=False)
            yield number, {name: field for name, field in columns if field or name == key}, None


def _text_position(file: DataFile, table: Table) -> int:
    """The index of a table's text column; an `InputError` if there is none, or the header looks like a row."""
    names, where = table.header, f"{file.name}, line {table.header_line}"
    key = file.text_key(names)
    told = file.column is not None or (key is not None and key.casefold() in CAPTION_KEYS)
    if not told and (sentence := next(filter(_reads_like_text, names), None)):
        advice = f"Put the column names in the first line, e.g. {'id,' if len(names) > 1 else ''}caption."
        if len(names) == 1:
            advice += f" Or rename the file to {file.path.stem}.txt, which has no header."
        raise InputError(f"{where}: the header looks like a text, not a column name: {sentence!r}", advice)
    if key is None:
        raise file.no_column(where, names)
    if names.count(key) > 1:
        raise InputError(f"{where}: {names.count(key)} columns have the name {key!a}", "Give each its own name.")
    return names.index(key)


def _reads_like_text(name: str) -> bool:
    return len(name.split()) >= _SENTENCE_WORDS or (len(name) > 1 and name[-1] in _ENDS)


def _json(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    with opened_text(file) as text:
        if file.form == "lines":
            _take(file, notes, text, *(["a JSON value per line"] if file.suffix != ".jsonl" else []))
            yield from _json_lines(file, text)
        elif file.form == "list":
            _take(file, notes, text, *(["a JSON list"] if file.suffix == ".jsonl" else []))
            for number, value in enumerate(list_items(text, file.name), start=1):
                yield number, value, None
        else:
            key = _list_of(file, notes)
            _take(file, notes, text, f"its list {key!a}")
            for name, item, value in object_members(text, file.name):
                if name == key and item is not None:
                    yield item, value, None


def _json_lines(file: DataFile, text: Text) -> Iterator[Row]:
    for number, line in text.lines():
        if not line.strip():
            continue
        try:
            yield number, json.loads(line), None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.place(number)}: not JSON: {error}", LOOK) from error


def _list_of(file: DataFile, notes: ReadingNotes) -> str:
    """The key of the only list of rows in an object; an `InputError` if there is none, or more than one."""
    first: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    with opened_text(file) as text:
        for key, number, value in object_members(text, file.name):
            first.setdefault(key, value)
            numbers[key] = number or 0
            if len(first) > _MOST_KEYS:
                break
    lists = [key for key, number in numbers.items() if number]
    fitting = [key for key in lists if _holds_rows(file, first[key])]
    if not fitting and len(lists) == 1 and isinstance(first[lists[0]], str):
        fitting = lists
    if len(fitting) == 1:
        for key in lists:
            if key != fitting[0]:
                notes.leave(f"items of {key!a}", "not_read", file.name, first[key], num=numbers[key])
        return fitting[0]
    told = f"{file.name}: expected a JSON list of items, found an object with {_names(first)}"
    raise InputError(told, _other_form(file, first, fitting or lists))


def _holds_rows(file: DataFile, item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    key = file.text_key(item)
    named = key is not None and (key == file.column or key.casefold() in CAPTION_KEYS)
    return named or any(name in item for name in ("conversations", "messages") if name in file.keys)


def _names(names: Collection[str]) -> str:
    shown = ", ".join(ascii(name) for name, _ in zip(names, range(_LISTS_SHOWN), strict=False))
    return f"{shown}, …" if len(names) > _LISTS_SHOWN else shown or "nothing in it"


def _other_form(file: DataFile, values: dict[str, Any], lists: list[str]) -> str:
    """Advice for an object that is no list of rows."""
    name, new = shlex.quote(file.path.name), shlex.quote(f"{file.path.stem}-list.json")
    if lists and all(isinstance(values[key], dict) for key in lists):
        return f"Extract the list of the texts: jq '.[{json.dumps(lists[0])}]' {name} > {new}"
    if (lists or any(isinstance(value, dict) for value in values.values())) and file.text_key(values):
        return "Write its columns as rows of a .jsonl file; in pandas: to_json(FILE, orient='records', lines=True)."
    if lists:
        return f"Write its texts as a list: jq '[.[][] | {{caption: .}}]' {name} > {new}"
    if len(values) > 1 and all(isinstance(value, str) for value in values.values()) and not file.text_key(values):
        return f"Write its texts as a list: jq '[to_entries[] | {{id: .key, caption: .value}}]' {name} > {new}"
    return f"Use a list of items, or a .jsonl file with an item per line. To make a list: jq -s . {name} > {new}"


def _parquet(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    number = 0
    with opened(file) as stream:
        is_parquet = stream.read(4) == b"PAR1"
        advice = "Get the file again: it is truncated or damaged." if is_parquet else "It is not a Parquet file."
        with reading_parquet(file.name, advice):
            parquet = pq.ParquetFile(stream)
            key, columns = _parquet_columns(file, parquet.schema_arrow)
            _take(file, notes, None, *([f"column {key}"] if key else []))
            for name in parquet.schema_arrow.names:
                if name not in columns and parquet.metadata.num_rows:
                    kind = parquet.schema_arrow.field(name).type
                    notes.leave(f"values of {name!a}", "not_read", file.name, kind, num=parquet.metadata.num_rows)
            for batch in by_group(parquet, batch_size=BATCH_ROWS, columns=columns):
                embeddings = batch.column(EMBEDDING) if EMBEDDING in columns else None
                rest = batch.drop_columns([EMBEDDING]) if embeddings is not None else batch
                if key and key not in CAPTION_KEYS and file.column is None:
                    rest = rest.rename_columns([CAPTION_KEYS[0] if name == key else name for name in rest.schema.names])
                for at, row in enumerate(rest.to_pylist()):
                    number += 1
                    yield number, row, None if embeddings is None else partial(_embedding, embeddings, at)


def _parquet_columns(file: DataFile, schema: pa.Schema) -> tuple[str | None, list[str]]:
    names = schema.names
    texts = [name for name in names if _is_text(schema.field(name).type)]
    if file.column in names and file.column not in texts:
        raise InputError(f"{file.name}: column {file.column} holds {schema.field(file.column).type}, not text")
    key = file.text_key(texts)
    if key is None and not {"conversations", "messages"} & set(names) & file.keys:
        raise file.no_column(file.name, texts)
    columns = [name for name in names if name == key or name in file.keys]
    if "conversations" in columns and "messages" in columns:
        columns.remove("messages")
    return key, columns


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _embedding(column: pa.Array, row: int) -> NDArray[Any]:
    value = column[row]
    is_list = isinstance(value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar)
    # A value of another type counts as no embedding, as an empty one does.
    found: NDArray[Any] = value.values.to_numpy(zero_copy_only=False) if is_list and value.is_valid else np.empty(0)
    return found


def by_group(file: pq.ParquetFile, **options: Any) -> Iterator[pa.RecordBatch]:
    """The batches of a file, one row group at a time; `options` are those of `iter_batches`."""
    # With several groups, pyarrow reads far ahead and keeps all data until the file's end.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(row_groups=[group], **options)


def _take(file: DataFile, notes: ReadingNotes, text: Text | None, *parts: str) -> None:
    """Note how a file is read, if its name does not say it."""
    unusual = text is not None and text.encoding != "UTF-8"
    if parts or unusual:
        notes.take(f"{file.name}: {', '.join([*parts, *([f'encoding {text.encoding}'] if text else [])])}")


_READERS: dict[str, Callable[[DataFile, ReadingNotes], Iterator[Row]]] = {
    ".json": _json,
    ".json.zip": _json,
    ".jsonl": _json,
    ".txt": _text_lines,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
}
