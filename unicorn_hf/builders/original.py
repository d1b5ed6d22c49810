"""The original authors' release, read as a stream: JSON lists of captions and conversations, zipped.

The files come from elsewhere, so nothing in them is believed: whatever they hold, the rows arrive or an `InputError`
names the file, the item and the field, and memory stays bounded by `MAX_ITEM_CHARS`, not by the file.
"""

import codecs
import json
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import CONVERSATIONS

REPOSITORY = "Yu2020/Unicorn"
FILES = {"pretrain": "Unicorn-1.2M.json.zip", "instruction": "Unicorn-Instruction-471K.json.zip"}
"""The zipped files by config; they are also read unzipped, without the last suffix."""
COLUMNS = {
    "pretrain": ("id", "caption", "conversations", "seed", "domain"),
    "instruction": ("id", "caption", "conversations", "seed", "domain", "task"),
}
"""Our configs' columns without `image_embedding`. The release says nothing of seed, domain and task: they are null."""
MAX_ITEM_CHARS = 4 << 20
"""An item is some 2,000 characters long, so a longer one is no item."""
MAX_RATIO = 100
"""Prose shrinks to a third. What shrinks to a hundredth and is large is a zip bomb."""
_RATIO_COUNTS_FROM = 64 << 20
_MAX_DIRECTORY_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_BATCH_ROWS = 1000
_BATCH_CHARS = 8 << 20
_GET_AGAIN = "Get the file again; where that does not help, it is not what was once published or exported."


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
    """The rows of a file of the release, in its order, in tables of `schema(config)`.

    Args:
        file: It must be able to seek where it is a zip.
        name: What errors call it; a name that ends in ".json" is read unzipped.

    Raises:
        InputError: The file is damaged, or not in the release's format. Tables before that place were already given.
    """
    with telling(name), unzipped(file, name) as stream:
        yield from _batches(items(stream, name), name, config)


def items(stream: IO[bytes], name: str) -> Iterator[Any]:
    """The members of the one JSON list in `stream`, one after the other, whatever they are."""
    text = _Text(stream, name)
    if text.next_char() != "[":
        raise InputError(f"{name}: expected a JSON list of items, found {text.found()}", _GET_AGAIN)
    text.skip()
    number = 0
    while (char := text.next_char()) != "]":
        if number:
            if char != ",":
                raise InputError(f"{name}: expected a comma after item {number}, found {text.found()}", _GET_AGAIN)
            text.skip()
        number += 1
        yield text.value(number)
    text.skip()
    if text.next_char():
        raise InputError(f"{name}: more follows after the list's end: {text.found()}", _GET_AGAIN)


class _Text:
    """A stream's text through a window of the item that is read."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder().raw_decode
        self._window = ""
        self._at = 0

    def next_char(self) -> str:
        """The next character that is not white space, not yet consumed; "" at the end."""
        while True:
            self._at = _SPACE.match(self._window, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._fill():
                return ""

    def skip(self) -> None:
        self._at += 1

    def found(self) -> str:
        return ascii(self._window[self._at : self._at + 20]) if self._at < len(self._window) else "the end of the file"

    def value(self, number: int) -> Any:
        self.next_char()
        while True:
            try:
                value, self._at = self._decode(self._window, self._at)
                return value
            except json.JSONDecodeError as error:
                # Cut at the window's end, or wrong: it is known when the window has grown as far as it may.
                if len(self._window) - self._at > MAX_ITEM_CHARS:
                    raise self._refused(number, f"not JSON, or longer than {MAX_ITEM_CHARS:,} characters") from error
                if not self._fill():
                    raise self._refused(number, f"not JSON, or cut off: {error.msg}") from error
            except RecursionError:
                raise self._refused(number, "nested too deeply") from None
            except ValueError as error:
                raise self._refused(number, f"not readable: {error}") from error

    def _refused(self, number: int, what: str) -> InputError:
        return InputError(f"{self._name}, item {number}: {what}", _GET_AGAIN)

    def _fill(self) -> bool:
        raw = self._stream.read(_CHUNK_BYTES)
        try:
            self._window = self._window[self._at :] + self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise InputError(f"{self._name}: not UTF-8 text: {error.reason}", _GET_AGAIN) from error
        self._at = 0
        return bool(raw)


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
        raise wrong(where, "an object with id, caption and conversations", item)
    for key in ("id", "caption", "conversations"):
        if key not in item:
            raise InputError(f'{where}: "{key}" is missing', _GET_AGAIN)
    row_id = item["id"]
    if isinstance(row_id, int) and not isinstance(row_id, bool):
        row_id = str(row_id)
    turns = item["conversations"]
    if not isinstance(turns, list):
        raise wrong(f'{where}, field "conversations"', "a list", turns)
    return {
        "id": string_of(row_id, f'{where}, field "id"', "a string or a whole number"),
        "caption": string_of(item["caption"], f'{where}, field "caption"'),
        "conversations": [_turn(turn, f'{where}, field "conversations", turn {n}') for n, turn in enumerate(turns, 1)],
    }


def _turn(turn: Any, where: str) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise wrong(where, "an object with from and value", turn)
    return {key: string_of(turn.get(key), f'{where}, "{key}"') for key in ("from", "value")}


def string_of(value: Any, where: str, expected: str = "a string") -> str:
    """`value`, if it is text; `where` is what an error calls its place.

    Raises:
        InputError: it is no string, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise wrong(where, expected, value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"{where}: half a surrogate pair, which is no text", _GET_AGAIN) from None
    return value


def wrong(where: str, expected: str, value: Any) -> InputError:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "nothing"}
    return InputError(f"{where}: expected {expected}, found {kinds.get(type(value), 'a number')}", _GET_AGAIN)


class _Careful:
    """A seekable file that refuses to be read in large pieces: zipfile takes a table of contents in one."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY_BYTES:
            raise InputError(f"{self._name}: its table of contents is too large for a zip of one file", _GET_AGAIN)
        return self._file.read(size)


@contextmanager
def unzipped(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """The one JSON file in a zip; of a name that ends in ".json" the file itself."""
    if name.endswith(".json"):
        yield file
        return
    with zipfile.ZipFile(_Careful(file, name)) as archive:
        member = _only_member(archive, name)
        if member.file_size > _RATIO_COUNTS_FROM and member.file_size > MAX_RATIO * member.compress_size:
            raise InputError(
                f"{name}: a zip bomb? Its {member.compress_size:,} bytes would unpack to {member.file_size:,}",
                _GET_AGAIN,
            )
        with archive.open(member) as stream:
            yield stream


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    # Archives made on a Mac hold a shadow of each file.
    found = [m for m in archive.infolist() if m.filename.endswith(".json") and not m.filename.startswith("__MACOSX/")]
    if len(found) != 1:
        raise InputError(f"{name}: expected one .json file in it, found {len(found)}", _GET_AGAIN)
    member = found[0]
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name}: it is encrypted, or packed otherwise than by deflate", _GET_AGAIN)
    return member


@contextmanager
def telling(name: str) -> Iterator[None]:
    """What zipfile and zlib raise about a damaged file, as an `InputError`."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{name}: not a zip archive, or a damaged one ({error})", _GET_AGAIN) from error
