"""Read captions and conversations from others' files: JSON, tables and text by the shared readers, and tar shards.

An invalid file raises an `InputError` that names file and row; the content of rows is checked elsewhere.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.builders import original
from unicorn_hf.builders.places import CONFIGS, data_files
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.published import published_file
from unicorn_hf.core.recipe import Imported, Parent
from unicorn_hf.interchange.tar import tar_rows
from unicorn_hf.interchange.vectors import Vector, VectorFiles, array_of, vector_place
from unicorn_hf.reading.data_file import EMBEDDING, TURNS_KEYS, DataFile
from unicorn_hf.reading.files import ROW, leave_unread, rows
from unicorn_hf.reading.kinds import READABLE, check_file
from unicorn_hf.reading.values import id_of, string_of, wrong

SUFFIXES = (".json", ".json.zip", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".tar")
Holds = Literal["captions", "conversations"]
_HOLDS: dict[str, Holds] = {"pretrain": "captions", "instruction": "conversations"}
_ORIGINAL = {name.removesuffix(".json.zip").lower(): config for config, name in original.FILES.items()}
_KEYS = frozenset({"id", *TURNS_KEYS, "task", "seed", "domain"})
"""Keys to read beside the caption."""
_VECTOR_KEYS = {"image", "images", EMBEDDING}
"""Keys that name or contain a row's embedding."""
_FIRST = 1000
"""Rows to read to detect the content of a file."""
_SENDERS = {"user": "human", "assistant": "gpt", "chatgpt": "gpt", "model": "gpt", "bot": "gpt"}
_SYSTEM = ("system", "developer")
_SENDER_KEYS, _VALUE_KEYS = ("from", "role"), ("value", "content", "text")
"""Keys of a turn; the first that it has is read."""
_LIST_OF_TURNS = (
    'A conversation is a list of turns: [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}], '
    'or the same with "role" and "content".'
)


@dataclass(frozen=True, slots=True)
class Item:
    """The unchanged content of a row."""

    place: str
    """The file and the row, for messages."""
    id: str | None = None
    caption: str | None = None
    turns: list[dict[str, str]] | None = None
    """Turns as {"from", "value"}."""
    task: str | None = None
    seed: str | None = None
    domain: str | None = None
    vector: Callable[[], Vector] | None = None
    """Reads the row's embedding, (dim,)."""


def imported_files(imported: Imported, *, with_vectors: bool = False) -> list[DataFile]:
    """Return the recipe's files, with those in its folders: exports, builds, and the original release.

    Raises:
        InputError: a file is missing, of an unknown kind, or named twice.
    """
    found: dict[Path, DataFile] = {}
    names: Counter[str] = Counter()
    for named in imported.files:
        for file in _expanded(Path(named.path).expanduser().absolute(), imported.column):
            name = published_file(file.path)
            names[name] += 1
            name = f"{name} ({names[name]})" if names[name] > 1 else name
            if file.path in found:
                raise InputError(f"{name} is named twice")
            # In Parquet, a column `image` contains pictures.
            vectors = {EMBEDDING} if file.suffix == ".parquet" else _VECTOR_KEYS
            keys = file.keys | vectors if with_vectors else file.keys
            found[file.path] = replace(file, name=name, sha256=named.sha256, keys=keys)
    return list(found.values())


def parent_files(parent: Parent, folder: Path) -> list[DataFile]:
    """The files of a published set, without its vectors."""
    return _expanded(folder, None, name=parent.dataset)


def _expanded(path: Path, column: str | None, name: str | None = None) -> list[DataFile]:
    name = name or path.name
    try:
        names = [found for config in CONFIGS for found in data_files(path, config)] if path.is_dir() else None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", READABLE) from error
    if names is None:
        check_file(path, f"there is no file or folder {path}", DataFile(path, name).suffix, SUFFIXES)
        return [DataFile(path, name, column, keys=_KEYS)]
    if not names:
        tars = (f"{config}/{tar.name}" for config in CONFIGS for tar in sorted((path / config).glob("*.tar")))
        names = [*(f"{config}.json" for config in CONFIGS if (path / f"{config}.json").is_file()), *tars]
    if not names:
        raise InputError(
            f"{path} is not a folder of `export`, `build` or the original release", "Name the files in it."
        )
    return [DataFile(path / found, f"{name}/{found}", column, keys=_KEYS) for found in names]


def holds(file: DataFile) -> Holds:
    """Return whether a conversation of one pair without a caption is a caption or a conversation.

    The file's or its folder's name decides (`pretrain`, `instruction`, those of the original release). Otherwise it is
    a caption if the file's first rows have no conversation of several pairs, and no task.
    """
    if named := held_by_name(file):
        return named
    first = islice(items(file, ReadingNotes()), _FIRST)
    return "conversations" if any(item.task or len(item.turns or ()) > 2 for item in first) else "captions"


def held_by_name(file: DataFile) -> Holds | None:
    """Return the content that the file's or its folder's name implies."""
    stem = file.path.name.split(".")[0].lower()
    released = _ORIGINAL.get(file.path.name.lower().split(".json")[0], "")
    return next((_HOLDS[name] for name in (stem, released, file.path.parent.name) if name in _HOLDS), None)


def items(file: DataFile, notes: ReadingNotes) -> Iterator[Item]:
    """Yield the rows of a file; skipped parts go into `notes`.

    Raises:
        InputError: the file is damaged, or a row is invalid. Earlier rows were already yielded.
    """
    vectors = VectorFiles(file.path.parent)
    for number, value, read in (tar_rows if file.suffix == ".tar" else rows)(file, notes):
        where = file.place(number)
        if isinstance(value, str):
            yield Item(where, caption=string_of(value, where))
        elif isinstance(value, dict):
            leave_unread(file, notes, value, number)
            yield _item(file, where, value, _vector_of(value, read, vectors, where), notes)
        else:
            raise wrong(where, "an object or a caption", value, ROW)


def _item(
    file: DataFile, where: str, value: dict[str, Any], vector: Callable[[], Vector] | None, notes: ReadingNotes
) -> Item:
    turns_key = next((key for key in TURNS_KEYS if value.get(key) not in (None, "", "null")), None)
    key = file.text_key(value)
    if key is None and file.column is not None and turns_key is None:
        raise file.no_column(where, value)
    caption = _text(value, key, where) if key else None
    return Item(
        place=where,
        id=id_of(value.get("id"), where),
        caption="" if key and caption is None and turns_key is None else caption,
        turns=_turns(value[turns_key], f'{where}, field "{turns_key}"', notes) if turns_key else None,
        task=_text(value, "task", where),
        seed=_text(value, "seed", where),
        domain=_text(value, "domain", where),
        vector=vector,
    )


def _text(value: dict[str, Any], key: str, where: str) -> str | None:
    found = value.get(key)
    return None if found is None else string_of(found, f'{where}, field "{key}"')


def _vector_of(
    value: dict[str, Any], read: Callable[[], NDArray[Any]] | None, vectors: VectorFiles, where: str
) -> Callable[[], Vector] | None:
    """Return a reader of the row's embedding: from a column, a list, or a file beside it."""
    if read is not None:
        return lambda: array_of(read(), where)
    numbers = value.get(EMBEDDING)
    if numbers is not None:
        return lambda: array_of(_numbers(numbers), where)
    place = vector_place(value)
    return (lambda: vectors.read(place, where)) if place else None


def _numbers(found: Any) -> NDArray[Any]:
    try:
        return np.asarray(found, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return np.asarray(found, dtype=object)


def _turns(found: Any, where: str, notes: ReadingNotes) -> list[dict[str, str]]:
    turns = [
        _turn(turn, f"{where}, turn {number}", notes) for number, turn in enumerate(_list_of_turns(found, where), 1)
    ]
    if turns and turns[0]["from"] in _SYSTEM:
        notes.leave("turns", "system", where, turns[0]["value"])
        return turns[1:]
    return turns


def _list_of_turns(found: Any, where: str) -> list[Any]:
    """Return turns from a list, from JSON in a text, or from an object of lists, as `datasets` writes a list."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            raise InputError(
                f"{where}: expected a list of turns, found a text that is not JSON: {found[:60]!r}",
                f"{_LIST_OF_TURNS} In a table, write it as JSON; in pandas: .map(json.dumps).",
            ) from None
    if isinstance(found, dict):
        keys = _turn_keys(found)
        said, values = (found.get(key) for key in keys)
        if isinstance(said, list) and isinstance(values, list) and len(said) == len(values):
            return [dict(zip(keys, pair, strict=True)) for pair in zip(said, values, strict=True)]
    if not isinstance(found, list):
        raise wrong(where, "a list of turns", found, _LIST_OF_TURNS)
    return found


def _turn(turn: Any, where: str, notes: ReadingNotes) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise wrong(where, "an object with from and value", turn, _LIST_OF_TURNS)
    keys = _turn_keys(turn)
    sender = string_of(turn.get(keys[0]), f'{where}, "{keys[0]}"', advice=_LIST_OF_TURNS).lower()
    value = turn.get(keys[1])
    for name, found in turn.items():
        if name not in keys and found is not None:
            notes.leave(f"values of {name!a} in turns", "not_read", where, found)
    text = _text_of_parts(value, where, notes) if isinstance(value, list) else value
    text = "" if text is None else text  # An answer with only tool calls has no content.
    return {"from": _SENDERS.get(sender, sender), "value": string_of(text, f'{where}, "{keys[1]}"')}


def _turn_keys(turn: dict[str, Any]) -> tuple[str, str]:
    """The keys of a turn's sender and text."""
    sender, value = (next((key for key in keys if key in turn), keys[0]) for keys in (_SENDER_KEYS, _VALUE_KEYS))
    return sender, value


def _text_of_parts(parts: list[Any], where: str, notes: ReadingNotes) -> str:
    """Return the text of OpenAI's content parts; pictures and other parts are skipped."""
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            notes.leave(f"parts of type {kind!a}", "not_read", where, part)
    return "\n".join(texts)
