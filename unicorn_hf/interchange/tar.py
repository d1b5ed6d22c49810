"""Samples of WebDataset shards: members of one name, one after the other, a .json and perhaps a .npy among them."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.files import DataFile, Row
from unicorn_hf.reading.json_values import LOOK

_READ = ("json", "npy")
_MAX_MEMBER_BYTES = 16 << 20
_LAYOUT = "A sample is read where KEY.json is in it, and KEY.npy beside it, one after the other; a key has no dot."


def tar_rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    """The samples of a shard; those without a .json, and members that are not read, are counted.

    Raises:
        InputError: the shard is damaged, or a .json is none.
    """
    number, key = 0, ""
    sample: dict[str, bytes] = {}
    members: list[str] = []
    try:
        with tarfile.open(file.path, "r|") as tar:
            for member in tar:
                if member.isdir():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, ending = base.partition(".")
                name = f"{folder}/{stem}"
                if not member.isfile() or not stem:
                    notes.leave("members", "hidden" if member.isfile() else "no_file", file.name, member.name)
                    continue
                if name != key and members:
                    yield from _sample(file, number, sample, members, notes)
                    sample, members = {}, []
                if not members:
                    number, key = number + 1, name
                members.append(member.name)
                if ending in sample:
                    notes.leave("members", "again", file.place(number), member.name)
                elif ending in _READ:
                    if member.size > _MAX_MEMBER_BYTES:
                        raise InputError(f"{file.name}: {member.name!a} is larger than {_MAX_MEMBER_BYTES:,} bytes")
                    content = tar.extractfile(member)
                    sample[ending] = content.read() if content else b""
    # A header's number that is none is a ValueError of tarfile's.
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{file.name}: not readable as tar: {error}", _advice(file)) from error
    if members:
        yield from _sample(file, number, sample, members, notes)


def _advice(file: DataFile) -> str:
    with file.path.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            return f"It is compressed. Unpack it first: gunzip -S {file.path.suffix} {file.path.name}"
    return "Get the file again: it is cut off or damaged, or no tar archive."


def _sample(
    file: DataFile, number: int, sample: dict[str, bytes], members: list[str], notes: ReadingNotes
) -> Iterator[Row]:
    where = file.place(number)
    if "json" not in sample:
        notes.leave("samples", "no_json", where, members[0], advice=_LAYOUT)
        return
    for name in members:
        ending = name.rpartition("/")[2].partition(".")[2]
        if ending not in _READ:
            notes.leave(f"members .{ending}", "not_read", where, name)
    try:
        value = json.loads(sample["json"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}, {members[0]!a}: not JSON: {error}", LOOK) from error
    content = sample.get("npy")
    yield number, value, None if content is None else _Reader(where, content)


class _Reader:
    """Reads a .npy."""

    def __init__(self, where: str, content: bytes) -> None:
        self._where = where
        self._content = content

    def __call__(self) -> NDArray[Any]:
        try:
            found: NDArray[Any] = np.load(io.BytesIO(self._content), allow_pickle=False)
        # A shape may be declared that no memory holds, or no number.
        except (ValueError, OSError, EOFError, MemoryError, OverflowError) as error:
            raise InputError(f"{self._where}: its .npy is not readable: {error}") from error
        return found
