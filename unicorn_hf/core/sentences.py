"""Sentence boundaries, in any script."""

import re

import regex

_STOPS = ".!?。！？｡।॥؟۔።៕…"
_CLOSERS = "\"'”’»)」』）］\\]"
_END = re.compile(rf"[{_STOPS}][{_CLOSERS}]*$")
# These scripts have no full stop.
_WITHOUT_STOP = regex.compile(r"[\p{Thai}\p{Lao}]\p{M}*[\"”’)]*$")
_QUESTION_MARKS = "?？؟"
_ASKS = re.compile(rf"[{_QUESTION_MARKS}][{_CLOSERS}]*$")
_BETWEEN = re.compile(r"(?<=[.!?…।؟۔])\s+|\n+|(?<=[。！？])\s*")


def is_finished(text: str) -> bool:
    """Whether a text ends with the end of a sentence."""
    return bool(_END.search(text) or _WITHOUT_STOP.search(text))


def ends_with_question_mark(text: str) -> bool:
    return bool(_ASKS.search(text))


def has_question_mark(text: str) -> bool:
    return any(mark in text for mark in _QUESTION_MARKS)


def sentences(text: str) -> list[str]:
    """The sentences of a text; line breaks end sentences."""
    return _BETWEEN.split(text)
