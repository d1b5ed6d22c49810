"""JSON as a stream: one list, the lists of one object, or a value a line.

Memory stays bounded by an item, whatever the file holds.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from unicorn_hf.core.errors import InputError
from unicorn_hf.reading.text import MAX_CHARS, Text

Form = Literal["list", "object", "lines"]
LOOK = "A bracket, a comma or a quotation mark is missing there, or the file is cut off."
_CHUNK_CHARS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")


class Source(Protocol):
    """Text in pieces."""

    def read(self, num_chars: int, /) -> str: ...


def form_of(text: Text, *, lines: bool) -> Form:
    """What a file holds, told from its beginning; an empty one holds lines, of which it has none.

    Args:
        text: read from its start.
        lines: whether its name says that it holds lines: an object is then a line's.
    """
    first, _, rest = text.read(_CHUNK_CHARS).lstrip().partition("\n")
    if first.startswith("["):
        return "list"
    if lines or not first or (rest.strip() and _is_value(first)):
        return "lines"
    return "object"


def _is_value(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def list_items(source: Source, name: str, advice: str = LOOK) -> Iterator[Any]:
    """The members of the one JSON list in a text, one after the other, whatever they are.

    Raises:
        InputError: it is no list, or not JSON; the item is named.
    """
    window = _Window(source, name, advice)
    if window.next_char() != "[":
        raise InputError(f"{name}: expected a JSON list of items, found {window.found()}", advice)
    yield from window.members()
    window.end("list")


@dataclass(frozen=True, slots=True)
class Member:
    """An item of a list in an object, or what stands in the object beside the lists."""

    key: str
    value: Any
    number: int | None
    """Of the item, from 1; None of a value that is no list."""


def object_members(source: Source, name: str) -> Iterator[Member]:
    """What one JSON object holds, its lists item by item.

    Raises:
        InputError: it is no object, or not JSON.
    """
    window = _Window(source, name, LOOK)
    if window.next_char() != "{":
        raise InputError(f"{name}: expected a JSON list of items, found {window.found()}", LOOK)
    for key in window.names():
        if window.next_char() == "[":
            for number, value in enumerate(window.members(), start=1):
                yield Member(key, value, number)
        else:
            yield Member(key, window.value(f"the value of {key!a}"), None)
    window.end("object")


class _Window:
    """A stream's text through a window of the item that is read."""

    def __init__(self, source: Source, name: str, advice: str) -> None:
        self._source = source
        self._name = name
        self._advice = advice
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

    def found(self) -> str:
        return ascii(self._window[self._at : self._at + 20]) if self._at < len(self._window) else "the end of the file"

    def members(self) -> Iterator[Any]:
        """Of the list that begins here."""
        self._at += 1
        number = 0
        while (char := self.next_char()) != "]":
            if number:
                self._skip_comma(char, f"item {number}")
            number += 1
            yield self.value(f"item {number}")
        self._at += 1

    def names(self) -> Iterator[str]:
        """Of the object that begins here; whoever asks reads the value before the next key."""
        self._at += 1
        key = ""
        while (char := self.next_char()) != "}":
            if key:
                self._skip_comma(char, f"the value of {key!a}")
            key = self.value("a key")
            if not isinstance(key, str) or self.next_char() != ":":
                raise InputError(f"{self._name}: expected a key and a colon, found {self.found()}", self._advice)
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
                # Cut at the window's end, or wrong: it is known when the window has grown as far as it may.
                if len(self._window) - self._at > MAX_CHARS:
                    raise self._refused(what, f"not JSON, or longer than {MAX_CHARS:,} characters") from error
                if not self._fill():
                    raise self._refused(what, f"not JSON, or cut off: {error.msg}") from error
            except RecursionError:
                raise self._refused(what, "nested too deeply") from None
            except ValueError as error:
                raise self._refused(what, f"not readable: {error}") from error

    def end(self, what: str) -> None:
        if self.next_char():
            raise InputError(f"{self._name}: more follows after the {what}'s end: {self.found()}", self._advice)

    def _skip_comma(self, char: str, after: str) -> None:
        if char != ",":
            raise InputError(f"{self._name}: expected a comma after {after}, found {self.found()}", self._advice)
        self._at += 1

    def _refused(self, what: str, why: str) -> InputError:
        return InputError(f"{self._name}, {what}: {why}", self._advice)

    def _fill(self) -> bool:
        piece = self._source.read(_CHUNK_CHARS)
        self._window, self._at = self._window[self._at :] + piece, 0
        return bool(piece)
