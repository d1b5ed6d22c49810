"""Captions and conversations in the files of others, read as streams: JSON lists and lines, tables, tar shards, text.

What is no such file raises an `InputError` that names file and row; what a row of it says is judged elsewhere.
"""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.builders import original
from unicorn_hf.builders.places import CONFIGS, data_files, file_names
from unicorn_hf.builders.rows import BATCH_ROWS, by_group
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.published import published_file
from unicorn_hf.core.recipe import Imported, Parent
from unicorn_hf.interchange.vectors import Vector, VectorFiles, array_of, vector_place

SUFFIXES = (".json", ".json.zip", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".tar")
Holds = Literal["captions", "conversations"]
_HOLDS: dict[str, Holds] = {"pretrain": "captions", "instruction": "conversations"}
_CAPTION_KEYS = ("caption", "text")
_ORIGINAL = {name.removesuffix(".json.zip").lower(): config for config, name in original.FILES.items()}
_FIRST = 1000
"""Rows that are looked at to see what a file holds."""
_MAX_LINE = original.MAX_ITEM_CHARS
_MAX_MEMBER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to import."""

    path: Path
    name: str
    """What errors and the recipe call it."""
    column: str | None = None
    """The column or key of the captions."""
    sha256: str | None = None
    """What its content must have, if anything."""

    def place(self, number: int) -> str:
        """A row of the file in words; rows are counted from 1, lines where there are lines."""
        return f"{self.name}, {_UNITS.get(suffix_of(self.path), 'row')} {number}"


@dataclass(frozen=True, slots=True)
class Item:
    """What a row of a file says, as it stands there."""

    number: int
    id: str | None
    caption: str | None
    turns: list[dict[str, str]] | None
    """Of {"from", "value"}."""
    task: str | None = None
    seed: str | None = None
    domain: str | None = None
    vector: Callable[[], Vector] | None = None
    """Reads the row's embedding, (dim,)."""


def imported_files(imported: Imported) -> list[InputFile]:
    """The files that a recipe names, folders opened: exports, builds, and the original release.

    Raises:
        InputError: one is not there, of an unknown kind, or named twice.
    """
    found = [
        replace(file, sha256=named.sha256)
        for named in imported.files
        for file in _expanded(Path(named.path).expanduser().absolute(), imported.column)
    ]
    names = [published_file(file.path) for file in found]
    found = [
        replace(file, name=f"{name} ({names[:at].count(name) + 1})" if name in names[:at] else name)
        for at, (file, name) in enumerate(zip(found, names, strict=True))
    ]
    twice = next((file for at, file in enumerate(found) if file.path in {other.path for other in found[:at]}), None)
    if twice:
        raise InputError(f"{twice.name} is named twice")
    return found


def parent_files(parent: Parent, folder: Path) -> list[InputFile]:
    """The files of a published set."""
    return _expanded(folder, None, name=parent.dataset)


def _expanded(path: Path, column: str | None, name: str | None = None) -> list[InputFile]:
    name = name or path.name
    if path.is_file():
        if suffix_of(path) not in SUFFIXES:
            advice = "Pickles are never read: they can run code." if path.suffix == ".pkl" else ""
            raise InputError(f"{path}: imported are {', '.join(SUFFIXES)} files and folders of them", advice)
        return [InputFile(path, name, column)]
    if not path.is_dir():
        raise InputError(f"there is no file or folder {path}")
    names = [found for config in CONFIGS for found in data_files(file_names(path), config)]
    if not names:
        tars = (f"{config}/{tar.name}" for config in CONFIGS for tar in sorted((path / config).glob("*.tar")))
        names = [*(f"{config}.json" for config in CONFIGS if (path / f"{config}.json").is_file()), *tars]
    if not names:
        raise InputError(
            f"{path} is no folder that `export` or `build` made, and none of the original release", "Name its files."
        )
    return [InputFile(path / found, f"{name}/{found}", column) for found in names]


def suffix_of(path: Path) -> str:
    """The ending that says what a file is, in lower case."""
    suffix = path.suffix.lower()
    return ".json.zip" if suffix == ".zip" and path.stem.lower().endswith(".json") else suffix


def holds(file: InputFile) -> Holds:
    """Whether a conversation of one pair without a caption is a caption, or a conversation.

    By the file's or its folder's name (`pretrain`, `instruction`, those of the original release); else it is a caption
    where the file's first rows have no conversation of several pairs, and no task.
    """
    stem = file.path.name.split(".")[0].lower()
    for name in (stem, _ORIGINAL.get(file.path.name.lower().split(".json")[0], ""), file.path.parent.name):
        if name in _HOLDS:
            return _HOLDS[name]
    first = islice(items(file), _FIRST)
    return "conversations" if any(item.task or len(item.turns or ()) > 2 for item in first) else "captions"


def items(file: InputFile) -> Iterator[Item]:
    """The rows of a file.

    Raises:
        InputError: it is damaged, or a row is of another form. Rows before that place were already given.
    """
    vectors = VectorFiles(file.path.parent)
    for number, value, vector in _READERS[suffix_of(file.path)](file):
        yield _item(file, number, value, vector, vectors)


_Row = tuple[int, Any, Callable[[], Vector] | None]


def _item(file: InputFile, number: int, value: Any, vector: Callable[[], Vector] | None, vectors: VectorFiles) -> Item:
    where = file.place(number)
    if isinstance(value, str):
        return Item(number, None, original.string_of(value, where), None)
    if not isinstance(value, dict):
        raise original.wrong(where, "an object or a caption", value)
    key = _caption_key(file, value, where)
    place = vector_place(value)
    if vector is None and place is not None:
        vector = lambda: vectors.read(place, where)  # noqa: E731
    row_id = value.get("id")
    if isinstance(row_id, int) and not isinstance(row_id, bool):
        row_id = str(row_id)
    return Item(
        number=number,
        id=_text({"id": row_id}, "id", where),
        caption=_text(value, key, where) if key else None,
        turns=_turns(value, where),
        task=_text(value, "task", where),
        seed=_text(value, "seed", where),
        domain=_text(value, "domain", where),
        vector=vector,
    )


def _caption_key(file: InputFile, value: dict[str, Any], where: str) -> str | None:
    if file.column is None:
        return next((key for key in _CAPTION_KEYS if key in value), None)
    if file.column not in value and not _turns_key(value):
        raise InputError(f"{where}: no {file.column!r}; it has {', '.join(map(ascii, value))}")
    return file.column


def _text(value: dict[str, Any], key: str, where: str) -> str | None:
    found = value.get(key)
    return None if found is None else original.string_of(found, f'{where}, field "{key}"')


def _turns_key(value: dict[str, Any]) -> str | None:
    return next((key for key in ("conversations", "messages") if value.get(key) is not None), None)


def _turns(value: dict[str, Any], where: str) -> list[dict[str, str]] | None:
    key = _turns_key(value)
    if key is None:
        return None
    turns = value[key]
    if not isinstance(turns, list):
        raise original.wrong(f'{where}, field "{key}"', "a list", turns)
    return [_turn(turn, f'{where}, field "{key}", turn {number}') for number, turn in enumerate(turns, 1)]


_SENDERS = {"user": "human", "assistant": "gpt"}


def _turn(turn: Any, where: str) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise original.wrong(where, "an object with from and value", turn)
    keys = ("role", "content") if "role" in turn else ("from", "value")
    sender, value = (original.string_of(turn.get(key), f'{where}, "{key}"') for key in keys)
    return {"from": _SENDERS.get(sender, sender), "value": value}


def _json(file: InputFile) -> Iterator[_Row]:
    with (
        _opened(file) as stream,
        original.telling(file.name),
        original.unzipped(stream, file.path.name.lower()) as text,
    ):
        for number, value in enumerate(original.items(text, file.name), start=1):
            yield number, value, None


def _json_lines(file: InputFile) -> Iterator[_Row]:
    for number, line in _lines(file):
        try:
            yield number, json.loads(line), None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.place(number)}: not JSON: {error}") from error


def _text_lines(file: InputFile) -> Iterator[_Row]:
    for number, line in _lines(file):
        yield number, line.strip(), None


def _lines(file: InputFile) -> Iterator[tuple[int, str]]:
    """Lines that are not blank."""
    with _opened(file) as stream:
        for number, raw in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), start=1):
            if len(raw) == _MAX_LINE:
                raise InputError(f"{file.place(number)}: longer than {_MAX_LINE:,} bytes")
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{file.place(number)}: not UTF-8 (byte {error.start} of the line)") from error
            if line.strip():
                yield number, line


def _delimited(file: InputFile) -> Iterator[_Row]:
    tabs = suffix_of(file.path) == ".tsv"
    with _opened(file) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        # Tab-separated values have no quoting; a quotation mark there is a quotation mark.
        options: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
        reader = csv.DictReader(text, **options)
        number = 0
        try:
            column = _csv_column(file, list(reader.fieldnames or ()))
            for number, row in enumerate(reader, start=1):
                if None in row or row[column] is None:
                    raise InputError(f"{file.place(number)}: not as many fields as the first line has")
                wanted = {key: row[key] or None for key in ("id", "task", "seed", "domain") if key in row}
                yield number, {**wanted, file.column or _CAPTION_KEYS[0]: row[column]}, None
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{file.place(number + 1)}: {error}") from error


def _csv_column(file: InputFile, columns: list[str]) -> str:
    wanted = [file.column] if file.column else list(_CAPTION_KEYS)
    column = next((name for name in wanted if name in columns), None)
    if column is None and not file.column and len(columns) == 1:
        return columns[0]
    if column is None:
        raise InputError(
            f"{file.name}: no column {' or '.join(wanted)}; it has {', '.join(map(ascii, columns)) or 'none'}",
            "Say which holds the captions: --column NAME.",
        )
    return column


def _parquet(file: InputFile) -> Iterator[_Row]:
    number = 0
    with _opened(file) as stream:
        try:
            parquet = pq.ParquetFile(stream)
            names = parquet.schema_arrow.names
            texts = {"id", "conversations", "messages", "task", "seed", "domain", file.column, *_CAPTION_KEYS}
            columns = [name for name in names if name in texts | {"image_embedding"}]
            if "conversations" in columns and "messages" in columns:
                columns.remove("messages")
            for batch in by_group(parquet, batch_size=BATCH_ROWS, columns=columns):
                embeddings = batch.column("image_embedding") if "image_embedding" in columns else None
                rest = batch.drop_columns(["image_embedding"]) if embeddings is not None else batch
                for at, row in enumerate(rest.to_pylist()):
                    number += 1
                    yield number, row, None if embeddings is None else _in_column(embeddings, at, file.place(number))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file.name}: not readable as Parquet: {error}") from error


def _in_column(column: pa.Array, row: int, where: str) -> Callable[[], Vector]:
    def read() -> Vector:
        value = column[row]
        found: NDArray[Any] = value.values.to_numpy(zero_copy_only=False) if value.is_valid else np.empty(0)
        return array_of(found, where)

    return read


def _tar(file: InputFile) -> Iterator[_Row]:
    """Samples of a WebDataset shard: members of one name, a .json and perhaps a .npy, one after the other."""
    number = 0
    sample: dict[str, bytes] = {}
    key = ""
    try:
        with tarfile.open(file.path, "r|") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, ending = base.partition(".")
                name = f"{folder}/{stem}"
                if name != key and sample:
                    number += 1
                    yield _sample(file, number, sample)
                    sample = {}
                key = name
                if ending in ("json", "npy"):
                    if member.size > _MAX_MEMBER_BYTES:
                        raise InputError(f"{file.name}: {member.name!a} is larger than {_MAX_MEMBER_BYTES:,} bytes")
                    content = tar.extractfile(member)
                    sample[ending] = content.read() if content else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{file.name}: not readable as tar: {error}") from error
    if sample:
        yield _sample(file, number + 1, sample)


def _sample(file: InputFile, number: int, sample: dict[str, bytes]) -> _Row:
    where = file.place(number)
    if "json" not in sample:
        raise InputError(f"{where}: no .json in it")
    try:
        value = json.loads(sample["json"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from error
    content = sample.get("npy")

    def vector() -> Vector:
        try:
            return array_of(np.load(io.BytesIO(content or b""), allow_pickle=False), where)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{where}: its .npy is not readable: {error}") from error

    return number, value, vector if content is not None else None


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    try:
        with file.path.open("rb") as stream:
            yield stream
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(f"{file.path}: {error.strerror}") from error


_READERS: dict[str, Callable[[InputFile], Iterator[_Row]]] = {
    ".json": _json,
    ".json.zip": _json,
    ".jsonl": _json_lines,
    ".txt": _text_lines,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
    ".tar": _tar,
}
_UNITS = {".json": "item", ".json.zip": "item", ".jsonl": "line", ".txt": "line", ".tar": "sample"}
