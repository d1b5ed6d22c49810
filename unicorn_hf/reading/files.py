"""Reads the rows of an untrusted file of any supported kind."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice, product
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.delimited import SEPARATORS, Table
from unicorn_hf.reading.errors import reading_parquet
from unicorn_hf.reading.json_values import DECODER, LOOK, Form, form_of, list_items, not_json, object_members
from unicorn_hf.reading.kinds import refuse_another_kind
from unicorn_hf.reading.text import Text
from unicorn_hf.reading.values import string_of, wrong
from unicorn_hf.reading.zipped import unzipped

CAPTION_KEYS = ("caption", "text")
"""Default columns and keys of the text."""
TURNS_KEYS = ("conversations", "messages", "conversation")
"""Columns and keys of a conversation; the first that a row has is read."""
ROW = "A row is a caption, or an object with one."
EMBEDDING = "image_embedding"
BATCH_ROWS = 500
_UNITS = {"list": "item", "object": "item", ".parquet": "row", ".tar": "sample"}
_FIRST_LINES = 20
_SENTENCE_WORDS = 4
_NAME = re.compile(r"\s*[\w.-]+\s*")
_UNSEPARATED = re.compile(r"\b(caption|text)s?\b([^\w\s-]|\s\s)|([^\w\s-]|\s\s)(caption|text)s?\b", re.IGNORECASE)
"""A separator that is not known, before or after the name of a text column."""
_ENDS = ".!?。！？।؟"
_LISTS_SHOWN = 5
_NO_PARQUET = {b"PAR1": "Get the file again: it is truncated or damaged.", b"": "It is empty. Get the file again."}
"""Advice by a file's first bytes."""
_ANOTHER = "It is not a Parquet file. Rename a text file to its format, e.g. .csv or .jsonl."
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
        advice = f"Specify the column of the texts with {self.column_option} NAME."
        if not names:
            advice = "Write the texts into a column caption of strings."
        return InputError(f"{where}: no column {wanted}; it has {has}", advice)


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


def _text_lines(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    if file.column is not None:
        told = f"{file.name}: a .txt file has one text per line and no column {file.column!r}"
        raise InputError(told, f"Omit {file.column_option}. A table needs the suffix .csv or .tsv.")
    with opened_text(file) as text:
        _take(file, notes, text)
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


def _delimited(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    with opened_text(file) as text:
        table = Table(text, tabs=file.suffix == ".tsv")
        if not table.header:
            return
        names = _known_names(file, table.header)
        key = _text_column(file, table, names)
        known = [name for name in names if name in file.keys and name != key]
        _take(file, notes, text, str(table.dialect), ", ".join([*([f"column {key}"] if key else []), *known]))
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


def _known_names(file: DataFile, names: Sequence[str]) -> list[str]:
    """The names of columns; those of `file.keys` in small letters."""
    return [low if (low := name.casefold()) in file.keys and low not in names else name for name in names]


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
    _refuse_repeated(where, names, {key, *file.keys})
    return key


def _refuse_repeated(where: str, names: Sequence[str], read: Collection[str | None]) -> None:
    """Raise an `InputError` if several of the columns that are read have one name."""
    name, number = Counter(name for name in names if name in read).most_common(1)[0]
    if number > 1:
        raise InputError(f"{where}: {number} columns have the name {name!a}", "Give each its own name.")


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
                yield number, "" if value is None else value, None
        else:
            key = _list_of(file, notes)
            _take(file, notes, text, f"its list {key!a}")
            for name, item, value in object_members(text, file.name):
                if name == key and item:
                    yield item, "" if value is None else value, None


def _json_lines(file: DataFile, text: Text) -> Iterator[Row]:
    for number, line in text.lines():
        if not line.strip():
            continue
        try:
            value = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            command = f"jq -c . {shlex.quote(file.path.name)} > NEW.jsonl"
            advice = f"{LOOK} Each line must hold one value; to rewrite values so: {command}"
            raise not_json(file.place(number), error, advice) from error
        yield number, "" if value is None else value, None


def _list_of(file: DataFile, notes: ReadingNotes) -> str:
    """The key of the only list of rows in an object; an `InputError` if there is none, or more than one."""
    first: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    with opened_text(file) as text:
        for key, number, value in object_members(text, file.name):
            if number != 0:
                first.setdefault(key, value)
            if number is not None:
                numbers[key] = number
            if len(first) > _MOST_KEYS:
                break
    lists = [key for key, number in numbers.items() if number]
    fitting = [key for key in lists if _holds_rows(file, first[key])]
    if not fitting and len(lists) == 1 and isinstance(first[lists[0]], str):
        fitting = lists
    if not lists and len(numbers) == 1:
        fitting = [*numbers]
    if len(fitting) == 1:
        for key in lists:
            if key != fitting[0]:
                notes.leave(f"items of {key!a}", "not_read", file.name, first[key], num=numbers[key])
        return fitting[0]
    told = f"{file.name}: expected a JSON list of items, found an object with {_names({**first, **numbers})}"
    raise InputError(told, _other_form(file, first, lists, fitting))


def _holds_rows(file: DataFile, item: Any) -> bool:
    keys = {file.named_key(item), *file.keys.intersection(TURNS_KEYS)} if isinstance(item, dict) else ()
    return any(key in item for key in keys)


def _names(names: Collection[str]) -> str:
    shown = ", ".join(ascii(name) for name, _ in zip(names, range(_LISTS_SHOWN), strict=False))
    return f"{shown}, …" if len(names) > _LISTS_SHOWN else shown or "nothing in it"


def _other_form(file: DataFile, values: dict[str, Any], lists: list[str], fitting: list[str]) -> str:
    """Advice for an object that is no list of rows.

    Args:
        file: the file.
        values: the values by key; of lists the first item.
        lists: the keys of lists.
        fitting: those whose items have texts.
    """
    name, new = shlex.quote(file.path.name), shlex.quote(f"{file.path.stem}-list.json")
    is_column = file.named_key(values) is not None
    objects = {key: value for key, value in values.items() if isinstance(value, dict) and key not in lists}
    # A key such as "captions" names texts, but is no column.
    fitting = fitting or [key for key in lists if any(word in key.casefold() for word in CAPTION_KEYS)]
    if (is_column and (lists or objects)) or any(isinstance(values[key], list) for key in lists):
        return "Write its columns as rows of a .jsonl file; in pandas: to_json(FILE, orient='records', lines=True)."
    if fitting:
        return f"Extract the list of the texts: jq '.[{json.dumps(fitting[0])}]' {name} > {new}"
    if rows := [key for key in lists if isinstance(values[key], dict)]:
        keys = "; ".join(f"the items of {key!a} have {_names(values[key])}" for key in rows[:_LISTS_SHOWN])
        return f"Specify the key of the texts with {file.column_option} NAME: {keys}."
    if lists:
        return f"Write its texts as a list: jq '[.[][] | {{caption: .}}]' {name} > {new}"
    if objects and all(_holds_rows(file, value) for value in values.values()):
        return f"Write its values as a list: jq '[to_entries[] | {{id: .key}} + .value]' {name} > {new}"
    inside = [(outer, key) for outer, inner in objects.items() for key in inner if isinstance(inner[key], list)]
    if inside:
        return f"Extract the list: jq '.{''.join(f'[{json.dumps(key)}]' for key in inside[0])}' {name} > {new}"
    if len(values) > 1 and all(isinstance(value, str) for value in values.values()) and not is_column:
        return f"Write its texts as a list: jq '[to_entries[] | {{id: .key, caption: .value}}]' {name} > {new}"
    if is_column:
        return f"Make a list of it: jq -s . {name} > {new}"
    return "Use a list of items, or a .jsonl file with an item per line."


def _parquet(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    number = 0
    with opened(file) as stream, reading_parquet(file.name, _NO_PARQUET.get(stream.read(4), _ANOTHER)):
        parquet = pq.ParquetFile(stream)
        schema = parquet.schema_arrow
        names = _known_names(file, schema.names)
        key, columns = _parquet_columns(file, schema, names)
        _take(file, notes, None, *([f"column {key}"] if key else []))
        for name, kind in zip(names, schema.types, strict=True):
            if name not in columns and parquet.metadata.num_rows:
                notes.leave(f"values of {name!a}", "not_read", file.name, kind, num=parquet.metadata.num_rows)
        stored = [schema.names[names.index(name)] for name in columns]
        renamed = {key: CAPTION_KEYS[0]} if file.column is None and key not in CAPTION_KEYS else {}
        for batch in by_group(parquet, batch_size=BATCH_ROWS, columns=stored):
            batch = batch.rename_columns([renamed.get(name, name) for name in columns])
            embeddings = batch.column(EMBEDDING) if EMBEDDING in columns else None
            rest = batch.drop_columns([EMBEDDING]) if embeddings is not None else batch
            for at, row in enumerate(_values(file, rest, number)):
                number += 1
                yield number, row, None if embeddings is None else partial(_embedding, embeddings, at)


def _values(file: DataFile, batch: pa.RecordBatch, before: int) -> list[dict[str, Any]]:
    """The rows of a batch, which come after the number `before`; an `InputError` if a text is not UTF-8."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        for at, name in product(range(batch.num_rows), batch.schema.names):
            try:
                batch.column(name)[at].as_py()
            except UnicodeDecodeError as error:
                where = f'{file.place(before + at + 1)}, field "{name}"'
                told = f"{where}: not UTF-8 (byte 0x{error.object[error.start]:02x})"
                raise InputError(told, "Write the column again as UTF-8 text.") from error
        raise


def _parquet_columns(file: DataFile, schema: pa.Schema, names: Sequence[str]) -> tuple[str | None, list[str]]:
    kinds = dict(zip(names, schema.types, strict=True))
    texts = [name for name, kind in kinds.items() if _is_text(kind)]
    meant = file.named_key(names)
    if meant and file.named_key(texts) is None:
        advice = "Write a row for each text." if pa.types.is_list(kinds[meant]) else "Convert it to strings."
        raise InputError(f"{file.name}: column {meant} holds {kinds[meant]}, not text", advice)
    key = file.text_key(texts)
    if key is None and not set(TURNS_KEYS) & set(names) & file.keys:
        raise file.no_column(file.name, texts)
    _refuse_repeated(file.name, names, {key, *file.keys})
    columns = [name for name in names if name == key or name in file.keys]
    for other in [name for name in TURNS_KEYS if name in columns][1:]:
        columns.remove(other)
    return key, columns


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _embedding(column: pa.Array, row: int) -> NDArray[Any]:
    value = column[row]
    is_list = isinstance(value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar)
    if not value.is_valid:
        return np.empty(0)
    found: NDArray[Any] = value.values.to_numpy(zero_copy_only=False) if is_list else np.array(value.as_py(), object)
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
