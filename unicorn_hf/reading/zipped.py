"""Reads the only JSON file in an untrusted zip archive; a damaged archive or a zip bomb is an `InputError`."""

import errno
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from unicorn_hf.core.errors import InputError

GET_AGAIN = "Get the file again. If the error stays, the file is not the published or exported one."
_UNPACK = "Unpack it, and use the file in it."
MAX_RATIO = 100
"""Prose shrinks to a third. A large file that shrinks to a hundredth is a zip bomb."""
_RATIO_COUNTS_FROM = 64 << 20
_MAX_DIRECTORY_BYTES = 1 << 20


class _Careful:
    """A seekable file that rejects large reads: zipfile reads a table of contents in one piece."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY_BYTES:
            raise InputError(f"{self._name}: its table of contents is too large for a zip of one file", GET_AGAIN)
        return self._file.read(size)


@contextmanager
def unzipped(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """The only JSON file in a zip; the file itself if its name ends in ".json".

    Raises:
        InputError: the archive is damaged, also if the block finds it so by reading.
    """
    if name.endswith(".json"):
        yield file
        return
    try:
        with zipfile.ZipFile(_Careful(file, name)) as archive, archive.open(_only_member(archive, name)) as stream:
            yield stream
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{name}: not a zip archive, or a damaged one ({error})", GET_AGAIN) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise InputError(f"{name}: damaged zip archive: an offset is outside the file", GET_AGAIN) from error


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    # Archives made on a Mac contain a metadata file for each file.
    found = [m for m in archive.infolist() if m.filename.endswith(".json") and not m.filename.startswith("__MACOSX/")]
    if len(found) != 1:
        raise InputError(f"{name}: expected one .json file in the archive, found {len(found)}", _UNPACK)
    member = found[0]
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name}: it is encrypted, or compressed by another method than deflate", _UNPACK)
    if member.file_size > _RATIO_COUNTS_FROM and member.file_size > MAX_RATIO * member.compress_size:
        raise InputError(
            f"{name}: possibly a zip bomb: {member.compress_size:,} bytes would unpack to {member.file_size:,}",
            GET_AGAIN,
        )
    return member
