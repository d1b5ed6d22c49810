"""Reads JSON as a stream: one list, the lists of one object, or a value per line.

An item bounds the memory.
"""

import json
import re
import shlex
from collections.abc import Iterator
from typing import IO, Any, Literal

from unicorn_hf.core.errors import InputError
from unicorn_hf.reading.text import MAX_CHARS, TOO_LONG, Text

Form = Literal["list", "object", "lines"]
LOOK = (
    "A bracket, a comma or a quotation mark is missing or superfluous there, or the file is truncated. JSON has no"
    " comments, no single quotation marks, and no comma before a closing bracket."
)
_ANOTHER_FORMAT = "No JSON begins there. A file of another format needs that format's suffix, e.g. .csv or .txt."
_CHUNK_CHARS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
Source = Text | IO[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {again!a} occurs twice in an object: rename or remove one")
    return found


def _constant(name: str) -> float | None:
    """Infinity as a number; NaN, which pandas writes for a missing value, as null."""
    return None if name == "NaN" else float(name)


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def not_json(place: str, error: Exception, advice: str = LOOK) -> InputError:
    """The error of a value of one line that `DECODER` cannot decode: a `ValueError` or a `RecursionError`."""
    if isinstance(error, json.JSONDecodeError):
        advice = advice if error.pos else _ANOTHER_FORMAT
        return InputError(f"{place}: not JSON: {error.msg} (column {error.pos + 1})", advice)
    return InputError(
        f"{place}: {'nested too deeply' if isinstance(error, RecursionError) else f'not readable: {error}'}"
    )


def form_of(text: Text, *, lines: bool) -> Form:
    """The form of a file, from its beginning; an empty file counts as lines.

    If its name implies `lines`, an object is a line.
    """
    first, _, rest = text.read(_CHUNK_CHARS).lstrip().partition("\n")
    if first.startswith("["):
        return "list"
    if lines or not first or (rest.strip() and _is_value(first)):
        return "lines"
    return "object"


def _is_value(line: str) -> bool:
    try:
        DECODER.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def list_items(source: Source, name: str, advice: str = "") -> Iterator[Any]:
    """The items of the JSON list in a text, one by one, of any type; `advice` replaces that of each error.

    Raises:
        InputError: it is no list, or not JSON; the message names the item.
    """
    window = _Window(source, name, advice)
    if window.next_char() != "[":
        raise InputError(f"{name}: expected a JSON list of items, found {window.found()}", advice or _ANOTHER_FORMAT)
    yield from window.members()
    window.end("list")


def object_members(source: Source, name: str) -> Iterator[tuple[str, int | None, Any]]:
    """The values of the JSON object in a text, its lists item by item: key, number of the item from 1, and value.

    A list begins with the number 0 and None. The number is None if the value of the key is no list.

    Raises:
        InputError: it is no object, or not JSON.
    """
    window = _Window(source, name)
    if window.next_char() != "{":
        raise InputError(f"{name}: expected a JSON list of items, found {window.found()}", _ANOTHER_FORMAT)
    for key in window.names():
        if window.next_char() == "[":
            yield key, 0, None
            for number, value in enumerate(window.members(), start=1):
                yield key, number, value
        else:
            yield key, None, window.value(f"the value of {key!a}")
    window.end("object")


class _Window:
    """A window over a stream's text, on the current item."""

    def __init__(self, source: Source, name: str, advice: str = "") -> None:
        self._source = source
        self._name = name
        self._advice = advice
        self._decode = DECODER.raw_decode
        self._window = ""
        self._at = 0

    def next_char(self) -> str:
        """The next character that is not white space, without consuming it; "" at the end."""
        while True:
            self._at = _SPACE.match(self._window, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._fill():
                return ""

    def found(self) -> str:
        return ascii(self._window[self._at : self._at + 20]) if self._at < len(self._window) else "the end of the file"

    def members(self) -> Iterator[Any]:
        """The items of the list that begins here."""
        self._at += 1
        number = 0
        while (char := self.next_char()) != "]":
            if number:
                self._skip_comma(char, f"item {number}")
            number += 1
            yield self.value(f"item {number}")
        self._at += 1

    def names(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller reads each value before the next key."""
        self._at += 1
        key: Any = None
        while (char := self.next_char()) != "}":
            if key is not None:
                self._skip_comma(char, f"the value of {key!a}")
            key = self.value("a key")
            if not isinstance(key, str) or self.next_char() != ":":
                raise self._error(f": expected a key and a colon, found {self.found()}")
            self._at += 1
            yield key
        self._at += 1

    def value(self, what: str) -> Any:
        self.next_char()
        while True:
            try:
                value, self._at = self._decode(self._window, self._at)
                return value
            except json.JSONDecodeError as error:
                # Either the window ends too early, or the text is wrong: grow the window to its limit first.
                if len(self._window) - self._at > MAX_CHARS:
                    told = f", {what}: not JSON, or longer than {MAX_CHARS:,} characters"
                    raise self._error(told, f"{LOOK} {TOO_LONG}") from error
                if not self._fill():
                    raise self._error(f", {what}: not JSON, or truncated: {error.msg}") from error
            except (ValueError, RecursionError) as error:
                raise self._error(not_json(f", {what}", error).message, "") from error

    def end(self, what: str) -> None:
        if self.next_char():
            command = {"list": "jq -s add", "object": "jq -s ."}[what]
            advice = f"If the file holds several, make one list of them: {command} {shlex.quote(self._name)} > NEW.json"
            raise self._error(f": unexpected text after the {what}: {self.found()}", advice)

    def _skip_comma(self, char: str, after: str) -> None:
        if char != ",":
            raise self._error(f": expected a comma after {after}, found {self.found()}")
        self._at += 1

    def _error(self, told: str, advice: str = LOOK) -> InputError:
        return InputError(f"{self._name}{told}", self._advice or advice)

    def _fill(self) -> bool:
        piece = self._source.read(_CHUNK_CHARS)
        self._window, self._at = self._window[self._at :] + piece, 0
        return bool(piece)
