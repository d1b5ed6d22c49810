"""Work folders that are no folders of this machine: places of fsspec, such as `s3://bucket/path`.

Local places stay `pathlib.Path`. Others are `UPath`, of universal-pathlib, which does the same under the same names and
can be sent to workers; for the type checker they are paths too. What differs between the two is here, in
`runtime.files` (how a file comes to be there whole) and in `runtime.locks`.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from unicorn_hf.core.errors import InputError

_LOCAL = ("file", "local")


def place(text: str | Path) -> Path:
    """A folder by its path or its URL.

    Raises:
        InputError: there is no such kind of storage, its package is not installed, or the URL holds a secret.
    """
    if not isinstance(text, str):
        return text
    scheme, mark, _ = text.partition("://")
    if not mark:
        return Path(text)
    parts = _place_alone(text)
    if parts is None:
        raise InputError(
            f"{scheme}://...: this URL is malformed or contains credentials or other parameters",
            "A place is KIND://BUCKET/PATH. Give credentials by the environment or fsspec's configuration: the URL is"
            " written to files and messages.",
        )
    if scheme in _LOCAL:
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"{text}: a path of this machine begins with {scheme}:///", "Or give it as a plain path.")
        return Path(parts.path)
    if not parts.netloc:
        raise InputError(f"{text}: no bucket", f"For example: {scheme}://BUCKET/unicorn.work")
    return cast(Path, _upath(scheme, text.rstrip("/")))


def _place_alone(text: str) -> SplitResult | None:
    """The parts of a URL that names a place and nothing else."""
    try:
        parts = urlsplit(text)
        # A password may hold a slash, and look like a port that a path follows.
        holds_more = "@" in parts.netloc or (parts.port is not None and "@" in parts.path)
    except ValueError:
        return None
    return None if holds_more or parts.query or parts.fragment else parts


def local_place(text: str | Path) -> Path:
    """A folder of this machine.

    Raises:
        InputError: it is one elsewhere.
    """
    found = place(text)
    if is_remote(found):
        raise InputError(
            f"{found}: this folder must be one of this machine",
            "A set is published by an atomic rename. --work-dir may be elsewhere; --push publishes what was made.",
        )
    return found.expanduser().absolute()


def _upath(scheme: str, text: str) -> Any:
    from fsspec import get_filesystem_class

    try:
        from upath import UPath

        get_filesystem_class(scheme)
    except ImportError as error:
        what = "unicorn-hf[s3]" if scheme in ("s3", "s3a") else "universal-pathlib"
        raise InputError(
            f"{text}: a package for this storage is not installed: {error}", f"pip install '{what}'"
        ) from error
    except ValueError as error:
        raise InputError(f"{text}: there is no storage {scheme}://", "s3://, gs://, abfs://, or a path.") from error
    # What other processes write must be seen at once.
    return UPath(text, use_listings_cache=False)


def is_remote(path: object) -> bool:
    return not isinstance(path, str | Path)


def errors() -> tuple[type[Exception], ...]:
    """What storage raises that is no OSError, of those kinds that are in use."""
    if "botocore" not in sys.modules:
        return ()
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def read(path: Path) -> bytes:
    """
    Raises:
        FileNotFoundError: there is no such file.
    """
    # In one request, where `read_bytes` looks at the size first.
    return cast(bytes, _fs(path).cat_file(cast(Any, path).path)) if is_remote(path) else path.read_bytes()


def put(path: Path, content: bytes) -> None:
    """Write an object, in one request where the storage has that: what readers see is all of it, or what was before."""
    fs, name = _fs(path), cast(Any, path).path
    try:
        fs.pipe_file(name, content)
    except FileNotFoundError:  # Of storage that has folders.
        fs.makedirs(cast(Any, path).parent.path, exist_ok=True)
        fs.pipe_file(name, content)


def create(path: Path, content: bytes) -> bool:
    """Write an object if there is none of this name, and say whether: of several at once, one succeeds."""
    try:
        _fs(path).pipe_file(cast(Any, path).path, content, mode="create")
    except FileExistsError:
        return False
    return True


def upload(local: Path, path: Path) -> None:
    """Copy a local file to an object, which appears when it is whole."""
    _fs(path).put_file(str(local), cast(Any, path).path)


def download(path: Path, local: Path) -> None:
    """Copy a file, local or not, to a local one."""
    if is_remote(path):
        _fs(path).get_file(cast(Any, path).path, str(local))
    else:
        shutil.copyfile(path, local)


def modified(path: Path) -> float:
    """When a file was written, in seconds, by the clock of its storage.

    Raises:
        FileNotFoundError: there is none.
    """
    if not is_remote(path):
        return path.stat().st_mtime
    return float(_fs(path).modified(cast(Any, path).path).timestamp())


def names(folder: Path) -> list[str]:
    """What is in a folder, by name and in any order; nothing where there is no folder."""
    if is_remote(folder):
        return [name for name, _ in listed(folder)]
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []


def listed(folder: Path) -> list[tuple[str, int]]:
    """The files of a folder by name, and their sizes; none where there is no folder."""
    try:
        if not is_remote(folder):
            with os.scandir(folder) as entries:
                return sorted((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
        details = _fs(folder).ls(cast(Any, folder).path, detail=True, refresh=True)
    except FileNotFoundError:
        return []
    return sorted((info["name"].rpartition("/")[2], int(info["size"])) for info in details if info["type"] == "file")


def remove_tree(folder: Path) -> None:
    """Delete a folder and all in it, if it is there."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        _fs(folder).rm(cast(Any, folder).path, recursive=True)


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """A local folder for what is gone when the block ends: in `folder`, or in the system's where that is remote."""
    if is_remote(folder):
        with tempfile.TemporaryDirectory(prefix="unicorn-hf-") as temporary:
            yield Path(temporary)
        return
    local = folder / name
    local.mkdir(parents=True, exist_ok=True)
    try:
        yield local
    finally:
        shutil.rmtree(local, ignore_errors=True)


def _fs(path: Path) -> Any:
    return cast(Any, path).fs
