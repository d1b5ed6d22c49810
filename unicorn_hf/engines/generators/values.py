"""Values in the replies of servers: JSON, counts, and lines for the user."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_MOST_SHOWN = 300
_MOST_DEPTH = 100
"""Of a JSON value: what is nested more deeply exhausts the stack."""
_SECRET = re.compile(r"\b(?:sk|hf|gsk|xai|pk|key|api)[-_][\w-]{12,}|(?<=Bearer )\S+", re.IGNORECASE)


def parsed(body: bytes) -> Any:
    """The JSON value of a body, or the object in a list of one; None if it is no JSON, or nested too deeply."""
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    inner, depth = [value], 0
    while inner:
        if depth == _MOST_DEPTH:
            return None
        inner, depth = [one for outer in inner for one in _inside(outer)], depth + 1
    # Google's servers send the error in a list.
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _inside(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def objects_in(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON list; none if the value is no list."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def strings_in(value: object) -> Iterable[str]:
    """All strings in a value, except types and ids."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("type", "format", "id", "signature"):
                yield from strings_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings_in(part)


def number_in(told: Mapping[str, Any], *names: str) -> int | None:
    """The first of these counts that a server tells, as a number or its digits; None if it tells none."""
    for name in names:
        value = told.get(name)
        if isinstance(value, str) and re.fullmatch(r"\d{1,15}(?:\.\d*)?", value.strip(), re.ASCII):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**31:
            return round(value)
    return None


def shown(text: str) -> str:
    """Shorten a text to one line, and mask anything that looks like a key."""
    return _SECRET.sub("***", " ".join(well_formed(text).split()))[:_MOST_SHOWN]


def well_formed(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
