"""Stream the original authors' release: zipped JSON lists of captions and conversations.

The files are untrusted: for any content, the reader yields rows or raises an `InputError` that names the file, the item
and the field. Memory is bounded by the longest item that `list_items` accepts, not by the file.
"""

import io
from collections.abc import Collection, Iterator
from functools import partial
from typing import IO, Any

import pyarrow as pa

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import CONVERSATIONS
from unicorn_hf.reading.json_values import list_items
from unicorn_hf.reading.values import string_of, wrong
from unicorn_hf.reading.zipped import GET_AGAIN, unzipped

REPOSITORY = "Yu2020/Unicorn"
FILES = {"pretrain": "Unicorn-1.2M.json.zip", "instruction": "Unicorn-Instruction-471K.json.zip"}
"""The zipped files by config; unzipped files, without the last suffix, are read too."""
COLUMNS = {
    "pretrain": ("id", "caption", "conversations", "seed", "domain"),
    "instruction": ("id", "caption", "conversations", "seed", "domain", "task"),
}
"""Our configs' columns without `image_embedding`. The release says nothing of seed, domain and task: they are null."""
_BATCH_ROWS = 1000
_BATCH_CHARS = 8 << 20
_string = partial(string_of, advice=GET_AGAIN)


def found_in(names: Collection[str]) -> dict[str, str]:
    """Which of `names` are files of the release, by config."""
    return {
        config: name
        for config, zipped in FILES.items()
        for name in (zipped.removesuffix(".zip"), zipped)
        if name in names
    }


def schema(config: str) -> pa.Schema:
    return pa.schema([(name, CONVERSATIONS if name == "conversations" else pa.string()) for name in COLUMNS[config]])


def tables(file: IO[bytes], name: str, config: str) -> Iterator[pa.Table]:
    """Read the rows of a file of the release, in order, in tables of `schema(config)`.

    Args:
        file: a zip must be seekable.
        name: the file's name in errors; a name that ends in ".json" is read unzipped.

    Raises:
        InputError: the file is damaged, or not in the release's format. Earlier tables were already yielded.
    """
    with unzipped(file, name) as stream:
        yield from _batches(items(stream, name), name, config)


def items(stream: IO[bytes], name: str) -> Iterator[Any]:
    """The items of the JSON list in `stream`, of any type."""
    try:
        yield from list_items(io.TextIOWrapper(stream, "utf-8-sig", newline=""), name, GET_AGAIN)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text: {error.reason}", GET_AGAIN) from error


def _batches(found: Iterator[Any], name: str, config: str) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    num_chars = 0
    for number, item in enumerate(found, start=1):
        rows.append(_row(item, f"{name}, item {number}"))
        num_chars += len(rows[-1]["caption"]) + sum(len(turn["value"]) for turn in rows[-1]["conversations"])
        if len(rows) == _BATCH_ROWS or num_chars > _BATCH_CHARS:
            yield pa.Table.from_pylist(rows, schema=schema(config))
            rows, num_chars = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, schema=schema(config))


def _row(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise wrong(where, "an object with id, caption and conversations", item, GET_AGAIN)
    for key in ("id", "caption", "conversations"):
        if key not in item:
            raise InputError(f'{where}: "{key}" is missing', GET_AGAIN)
    row_id = item["id"]
    if isinstance(row_id, int) and not isinstance(row_id, bool):
        row_id = str(row_id)
    turns = item["conversations"]
    if not isinstance(turns, list):
        raise wrong(f'{where}, field "conversations"', "a list", turns, GET_AGAIN)
    return {
        "id": _string(row_id, f'{where}, field "id"', "a string or a whole number"),
        "caption": _string(item["caption"], f'{where}, field "caption"'),
        "conversations": [_turn(turn, f'{where}, field "conversations", turn {n}') for n, turn in enumerate(turns, 1)],
    }


def _turn(turn: Any, where: str) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise wrong(where, "an object with from and value", turn, GET_AGAIN)
    return {key: _string(turn.get(key), f'{where}, "{key}"') for key in ("from", "value")}
