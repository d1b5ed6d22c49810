"""Checks values of rows: texts and ids."""

from decimal import Decimal
from typing import Any

from unicorn_hf.core.errors import InputError

_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "nothing"}


def string_of(value: Any, where: str, expected: str = "a string", advice: str = "") -> str:
    """`value`, if it is text; `where` is its place in messages.

    Raises:
        InputError: it is no string, or contains half a surrogate pair.
    """
    if not isinstance(value, str):
        advice = advice or ("Write a row for each text." if isinstance(value, list) else "Write it as a string.")
        raise wrong(where, expected, value, advice)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            advice = advice or "Correct the text, or remove the row."
            raise InputError(f"{where}: half a surrogate pair, which is not text", advice) from None
    return value


def id_of(value: Any, where: str) -> str | None:
    """An id as text, where 7, 7.0 and "7" are the same id; None if there is none."""
    if value is None or value != value:  # not a number
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(int(value)) if value == value // 1 else str(value)
    return string_of(value, f'{where}, field "id"', "a string or a number", "Write ids as text or as numbers.")


def wrong(where: str, expected: str, value: Any, advice: str = "") -> InputError:
    kind = _KINDS.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")
    return InputError(f"{where}: expected {expected}, found {kind}", advice)
