"""Read samples of WebDataset shards: successive members with one name, with a .json and optionally a .npy."""

import io
import json
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.files import DataFile, Row
from unicorn_hf.reading.json_values import LOOK

_READ = ("json", "npy")
_MAX_MEMBER_BYTES = 16 << 20
_LAYOUT = "A sample requires KEY.json, with an optional KEY.npy right before or after it; KEY contains no dot."


def tar_rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    """Yield the samples of a shard; count samples without a .json, and unread members.

    Raises:
        InputError: the shard is damaged, or a .json is not JSON.
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
    # tarfile raises ValueError for an invalid number in a header.
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{file.name}: not readable as tar: {error}", _advice(file)) from error
    if members:
        yield from _sample(file, number, sample, members, notes)


def _advice(file: DataFile) -> str:
    with file.path.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            return f"It is compressed. Unpack it first: gunzip -S {file.path.suffix} {file.path.name}"
    return "Get the file again: it is truncated or damaged, or not a tar archive."


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
    yield number, value, None if content is None else partial(_array, where, content)


def _array(where: str, content: bytes) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    # The declared shape may be larger than any memory, or invalid.
    except (ValueError, OSError, EOFError, MemoryError, OverflowError) as error:
        raise InputError(f"{where}: its .npy is not readable: {error}") from error
    return found
