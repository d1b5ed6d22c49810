"""Find personal data by rules: e-mail addresses, phone numbers, IP addresses, user names.

Names of people and postal addresses are not searched for: no rule can recognise them.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WORTH_READING = r"@|\d(?:[\d ().:/-]{5,})\d|[0-9a-fA-F]:[0-9a-fA-F:]*:"
"""A pattern common to all kinds. Arrow searches for it, so that Python only reads the few texts that match."""
_MAX_CHARACTERS = 20_000
"""Characters to read per text; the longest captions of the paper have 3,000."""
_EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b", re.IGNORECASE)
_USER_NAME = re.compile(r"(?<![\w@/.])@[a-z_]\w{2,29}(?![\w@])", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:]*)(?![\w:]|\.\d)", re.IGNORECASE
)
_REGION = "US"
"""Region of phone numbers without a country code; numbers with one are found for all countries."""


def _has_phone_number(text: str) -> bool:
    from phonenumbers import PhoneNumberMatcher

    return PhoneNumberMatcher(text, _REGION).has_next()


def _has_ip_address(text: str) -> bool:
    return any(map(_is_public, _ADDRESS.findall(text)))


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


KINDS: Mapping[str, Callable[[str], object]] = {
    "e-mail address": _EMAIL.search,
    "phone number": _has_phone_number,
    "IP address": _has_ip_address,
    "user name": _USER_NAME.search,
}


def kinds_in(text: str) -> set[str]:
    """The kinds of personal data in a text."""
    return {kind for kind, found in KINDS.items() if found(text[:_MAX_CHARACTERS])}


def rows_with(rows: pa.Table | pa.RecordBatch) -> dict[str, int]:
    """Count the rows with each kind in caption, seed or conversation, if these columns exist.

    Kinds without rows are omitted.
    """
    found: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for places, texts in _texts(rows):
        hits = pc.fill_null(pc.match_substring_regex(texts, _WORTH_READING), False)
        worth_reading = places[hits.to_numpy(zero_copy_only=False)].tolist()
        for place, text in zip(worth_reading, texts.filter(hits).to_pylist(), strict=True):
            for kind in kinds_in(text):
                found[kind].add(place)
    return {kind: len(places) for kind, places in found.items() if places}


def _texts(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """Yield each column's texts, with the row numbers of the texts."""
    for name in ("caption", "seed", "conversations"):
        if name not in rows.schema.names:
            continue
        column = rows.column(name)
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if name == "conversations":
            yield pc.list_parent_indices(column).to_numpy(), pc.struct_field(pc.list_flatten(column), "value")
        else:
            yield np.arange(len(column)), column
