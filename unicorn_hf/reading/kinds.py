"""Recognises files by their first bytes: downloads that failed, archives, formats under another name."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unicorn_hf.core.errors import InputError

READABLE = "Make it readable for the user who runs this command."
_HEAD_BYTES = 1 << 10
_UNPACK = "Unpack it first: {} < {{name}} > {{new}}"
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_SAVE_AS_TEXT = "Save it as UTF-8 text, e.g. as CSV."
_TO_PARQUET = "Convert it to a .parquet file."
_RENAME = "Rename it to {}."
_JSON = (".json", ".jsonl", ".json.zip")


@dataclass(frozen=True)
class _Kind:
    beginning: re.Pattern[bytes]
    name: str
    advice: str
    """`{name}` is the file's name, and `{new}` that of an unpacked one, quoted for a shell."""
    suffixes: tuple[str, ...] = ()
    """Of files that may begin like this."""


def _kind(beginning: bytes, name: str, advice: str, *suffixes: str) -> _Kind:
    return _Kind(re.compile(beginning), name, advice, suffixes)


_KINDS = (
    _kind(
        rb"version https://git-lfs",
        "a pointer of Git LFS",
        "The file itself is not downloaded yet. Run: git lfs pull",
    ),
    _kind(
        rb"\s*<(?i:!doctype html|html)",
        "a web page",
        "Download the file itself. It may need a login; on the Hub its address contains /resolve/, not /blob/.",
    ),
    _kind(rb"\x1f\x8b", "a gzip archive", _UNPACK.format("gunzip")),
    _kind(rb"BZh\d1AY", "a bzip2 archive", _UNPACK.format("bunzip2")),
    _kind(rb"\xfd7zXZ", "an xz archive", _UNPACK.format("unxz")),
    _kind(rb"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK.format("unzstd")),
    _kind(
        rb"PK\x03\x04",
        "a zip archive or a spreadsheet",
        f"Unpack it first: unzip {{name}}. A spreadsheet: {_SAVE_AS_TEXT}",
        ".json.zip",
    ),
    _kind(rb"\xd0\xcf\x11\xe0", "an old spreadsheet or document", _SAVE_AS_TEXT),
    _kind(rb"%PDF", "a PDF", _SAVE_AS_TEXT),
    _kind(rb"\{\\rtf", "an RTF document", _SAVE_AS_TEXT),
    _kind(rb"\x89PNG|\xff\xd8\xff", "a picture", _SAVE_AS_TEXT),
    _kind(rb"SQLite format 3", "an SQLite database", "Export its table as CSV."),
    _kind(rb"PAR1", "a Parquet file", _RENAME.format(".parquet"), ".parquet"),
    _kind(rb"\x80[\x02-\x05]", "a pickle", "Pickles are never read: they can run code."),
    _kind(rb"PARE[^A-Za-z]", "an encrypted Parquet file", "Decrypt it first."),
    _kind(rb"ARROW1\0|\xff{4}.{3}\0", "an Arrow file", _TO_PARQUET),
    _kind(rb"(?s:.{257})ustar", "a tar archive", _RENAME.format(".tar"), ".tar"),
    _kind(rb'\s*(\[\s*)?\{\s*"|\s*\[\s*"', "JSON", _RENAME.format(".json"), *_JSON),
)
"""The first that fits counts."""


def check_file(path: Path, missing: str, suffix: str, suffixes: Sequence[str]) -> None:
    """Check that `path` is a file with one of `suffixes` that can be read; of `path`, `suffix` is the relevant one.

    Raises:
        InputError: it is not; `missing` is the message if there is none.
    """
    try:
        path.name.encode()
        if not path.is_file():
            if path.is_dir():
                raise InputError(f"{path} is a folder, not a file", "Name a file in it.")
            if path.exists():
                raise InputError(f"{path}: not a regular file", "Save its content as a file: it is read several times.")
            raise InputError(missing, "Name a file on this machine. Download a file of the Web first.")
        with path.open("rb") as stream:
            kind = _kind_of(stream)
    except UnicodeEncodeError:
        raise InputError(f"{path.name!a}: the name is not UTF-8", "Rename the file.") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", READABLE) from error
    if suffix not in suffixes:
        found = f"; it is {kind.name}" if kind else ""
        advice = f" {_advice(kind, path)}" if kind else ""
        raise InputError(f"{path}: unknown kind of file{found}", f"Use one of {', '.join(suffixes)}.{advice}")


def refuse_another_kind(stream: IO[bytes], name: str, path: Path, suffix: str) -> None:
    """Raise an `InputError`, which calls the file `name`, if its content does not belong to its suffix."""
    kind = _kind_of(stream)
    if kind and suffix not in kind.suffixes:
        raise InputError(f"{name}: it is {kind.name}, not a {suffix} file", _advice(kind, path))


def _advice(kind: _Kind, path: Path) -> str:
    new = path.stem if path.suffix.lower() in _PACKED else f"{path.stem}-unpacked{path.suffix}"
    return kind.advice.format(name=shlex.quote(path.name), new=shlex.quote(new))


def _kind_of(stream: IO[bytes]) -> _Kind | None:
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    return next((kind for kind in _KINDS if kind.beginning.match(head)), None)
