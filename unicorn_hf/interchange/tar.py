"""Read samples of WebDataset shards: successive members with one name, with a .json and optionally a .npy."""

import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.interchange.vectors import ADVICE
from unicorn_hf.reading.data_file import DataFile, Row, opened
from unicorn_hf.reading.json_values import DECODER, not_json

_READ = ("json", "npy")
_MAX_MEMBER_BYTES = 16 << 20
_PIECE_BYTES = 1 << 20
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
        with opened(file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, ending = base.partition(".")[0], _ending(base)
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
                        told = f"{file.place(number)}: {member.name!a} is larger than {_MAX_MEMBER_BYTES:,} bytes"
                        raise InputError(told, "Remove the sample.")
                    content = tar.extractfile(member)
                    sample[ending] = content.read() if content else b""
            _check_end(file, stream, tar.offset)
    # tarfile raises ValueError for an invalid number in a header.
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        advice = "Get the file again: it is truncated or damaged, or not a tar archive."
        raise InputError(f"{file.name}: not readable as tar: {error}", advice) from error
    if members:
        yield from _sample(file, number, sample, members, notes)


def _ending(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def _check_end(file: DataFile, stream: IO[bytes], offset: int) -> None:
    """Check that an archive ends at `offset`: tarfile takes a damaged header, and the end of the file, for its end.

    Raises:
        tarfile.ReadError: a header is damaged or missing.
        InputError: another archive follows.
    """
    stream.seek(offset)
    end = stream.read(tarfile.BLOCKSIZE)
    if end.strip(b"\0") or len(end) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"no member and no end of the archive at byte {offset:,}")
    while piece := stream.read(_PIECE_BYTES):
        if piece.strip(b"\0"):
            advice = f"Unpack both: tar --ignore-zeros -xf {shlex.quote(file.path.name)}; then make one archive."
            raise InputError(f"{file.name}: data follows the end of the archive: two were joined?", advice)


def _sample(
    file: DataFile, number: int, sample: dict[str, bytes], members: list[str], notes: ReadingNotes
) -> Iterator[Row]:
    where = file.place(number)
    if "json" not in sample:
        notes.leave("samples", "no_json", where, members[0], advice=_LAYOUT)
        return
    for name in members:
        if _ending(name) not in _READ:
            notes.leave(f"members .{_ending(name)}", "not_read", where, name)
    named = next(name for name in members if _ending(name) == "json")
    try:
        text = sample["json"]
        value = DECODER.decode(text.decode(json.detect_encoding(text)))
    except UnicodeDecodeError as error:
        told = f"{where}, {named!a}: not UTF-8 (byte 0x{text[error.start]:02x} in column {error.start + 1})"
        raise InputError(told, "Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise not_json(f"{where}, {named!a}", error) from error
    content = sample.get("npy")
    yield number, value, None if content is None else partial(_array, where, content)


def _array(where: str, content: bytes) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    # The declared shape may be larger than any memory, or invalid.
    except (ValueError, OSError, EOFError, MemoryError, OverflowError) as error:
        raise InputError(f"{where}: its .npy is not readable: {error}", ADVICE) from error
    return found
