"""Fingerprints: the same content has the same fingerprint on every machine and in every run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def fingerprint(*parts: object) -> str:
    """16 hex digits that identify `parts`: JSON values, sequences, string-keyed mappings and pydantic models.

    Raises:
        TypeError: a part has another type.
        ValueError: a float is not finite.
    """
    return hashlib.blake2b(canonical_json(parts).encode(), digest_size=8).hexdigest()


def canonical_json(value: object) -> str:
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"a fingerprint takes string keys only, not {sorted(map(repr, value))}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        # Numbers of rows are many: one look at all types takes a tenth of a look at each.
        return list(value) if set(map(type, value)) == {int} else [_plain(item) for item in value]
    raise TypeError(f"cannot fingerprint a {type(value).__name__}: {value!r}")
