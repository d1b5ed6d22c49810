"""The one JSON file in a zip archive that comes from elsewhere: a damaged archive or a bomb is an `InputError`."""

import errno
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from unicorn_hf.core.errors import InputError

GET_AGAIN = "Get the file again; where that does not help, it is not what was once published or exported."
_UNPACK = "Unpack it, and name the file in it."
MAX_RATIO = 100
"""Prose shrinks to a third. What shrinks to a hundredth and is large is a zip bomb."""
_RATIO_COUNTS_FROM = 64 << 20
_MAX_DIRECTORY_BYTES = 1 << 20


class _Careful:
    """A seekable file that refuses to be read in large pieces: zipfile takes a table of contents in one."""

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
    """The one JSON file in a zip; of a name that ends in ".json" the file itself."""
    if name.endswith(".json"):
        yield file
        return
    with zipfile.ZipFile(_Careful(file, name)) as archive:
        member = _only_member(archive, name)
        if member.file_size > _RATIO_COUNTS_FROM and member.file_size > MAX_RATIO * member.compress_size:
            raise InputError(
                f"{name}: a zip bomb? Its {member.compress_size:,} bytes would unpack to {member.file_size:,}",
                GET_AGAIN,
            )
        with archive.open(member) as stream:
            yield stream


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    # Archives made on a Mac hold a shadow of each file.
    found = [m for m in archive.infolist() if m.filename.endswith(".json") and not m.filename.startswith("__MACOSX/")]
    if len(found) != 1:
        raise InputError(f"{name}: expected one .json file in it, found {len(found)}", _UNPACK)
    member = found[0]
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name}: it is encrypted, or packed otherwise than by deflate", _UNPACK)
    return member


@contextmanager
def telling(name: str) -> Iterator[None]:
    """What zipfile and zlib raise about a damaged file, as an `InputError`."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{name}: not a zip archive, or a damaged one ({error})", GET_AGAIN) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise InputError(f"{name}: a damaged zip archive: it points outside of itself", GET_AGAIN) from error
