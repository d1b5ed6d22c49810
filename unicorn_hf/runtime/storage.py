"""Work folders in remote storage that fsspec supports, such as `s3://bucket/path`.

Local folders are `pathlib.Path`. Remote ones are `UPath` of universal-pathlib, which has the same methods and can be
sent to workers; they are typed as paths too. Only this module, `runtime.files` (atomic writes) and `runtime.locks`
treat the two differently. `runtime.hub_buckets` is the file system of `hf://`.
"""

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from unicorn_hf.core.errors import InputError

_LOCAL = ("file", "local")
_EXTRAS = {"s3": "unicorn-hf[s3]", "s3a": "unicorn-hf[s3]", "hf": "unicorn-hf[hf]"}
_BUCKET = "hf://buckets/ORG/NAME/PATH"


def place(text: str | Path) -> Path:
    """Return the folder for a path or a URL.

    Raises:
        InputError: this kind of storage is unknown or its package is not installed, or the URL holds a secret.
    """
    if not isinstance(text, str):
        return text
    scheme, mark, _ = text.partition("://")
    if not mark:
        return Path(text)
    try:
        parts = urlsplit(text)
        # A password may contain a slash, and look like a port and a path.
        has_user = "@" in parts.netloc or (parts.port is not None and "@" in parts.path)
        is_place = not (has_user or parts.query or parts.fragment)
    except ValueError:
        is_place = False
    if not is_place:
        raise InputError(
            f"{scheme}://...: this URL is malformed or contains credentials or other parameters",
            "Use KIND://BUCKET/PATH. Pass credentials in the environment or in fsspec's configuration: the URL is"
            " written to files and messages.",
        )
    if scheme in _LOCAL:
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"{text}: a local URL begins with {scheme}:///", "Add the slash, or use a plain path.")
        return Path(parts.path)
    if not parts.netloc:
        raise InputError(f"{text}: the bucket is missing", f"For example: {scheme}://BUCKET/unicorn.work")
    if scheme == "hf":
        _check_bucket(text, parts.netloc, parts.path)
    return cast(Path, _upath(scheme, text.rstrip("/")))


def local_place(text: str | Path) -> Path:
    """Return the local folder for a path or a URL.

    Raises:
        InputError: the folder is remote.
    """
    found = place(text)
    if is_remote(found):
        raise InputError(
            f"{found}: this folder must be local",
            "A set is published by an atomic rename. --work-dir may be remote; --push uploads the finished set.",
        )
    return found.expanduser().absolute()


def _check_bucket(text: str, kind: str, path: str) -> None:
    """
    Raises:
        InputError: the URL is not in a bucket of the Hub.
    """
    if kind != "buckets":
        raise InputError(
            f"{text}: work files cannot be in a repository of the Hub: each file would be a commit, and the Hub limits"
            " commits per hour",
            f"Use a bucket: {_BUCKET}",
        )
    if len([part for part in path.split("/") if part]) < 2:
        raise InputError(f"{text}: the bucket is incomplete", f"Use {_BUCKET}")


def _upath(scheme: str, text: str) -> Any:
    from fsspec import get_filesystem_class

    try:
        from upath import UPath

        get_filesystem_class(scheme)
        if scheme == "hf":
            import_module("unicorn_hf.runtime.hub_buckets")
    except ImportError as error:
        what = _EXTRAS.get(scheme, "universal-pathlib")
        raise InputError(
            f"{text}: the package for this storage is not installed: {error}", f"pip install '{what}'"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{text}: unknown storage {scheme}://", "Use hf://, s3://, gs://, abfs://, or a path."
        ) from error
    # Without a cache: files of other processes must be visible immediately.
    return UPath(text, use_listings_cache=False)


def is_remote(path: object) -> bool:
    return not isinstance(path, str | Path)


def put_every_s(path: object) -> float:
    """Seconds between two writes of a small file that changes all the time: what the storage's limits allow."""
    return float(getattr(path, "put_every_s", 0.0))


def settle_s(path: object) -> float:
    """Seconds until a new file is in all listings of its storage."""
    return float(getattr(path, "settle_s", 0.0))


def errors() -> tuple[type[Exception], ...]:
    """Errors of the storage packages in use that are not an OSError."""
    found: list[type[Exception]] = []
    if "botocore" in sys.modules:
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError]
    if "unicorn_hf.runtime.hub_buckets" in sys.modules:
        from hf_xet import XetAuthenticationError  # type: ignore[import-untyped]
        from huggingface_hub.errors import HfHubHTTPError

        # The second is of the HTTP library, httpx or httpx2. Xet's client raises Python's own.
        found += [HfHubHTTPError, HfHubHTTPError.__mro__[1], XetAuthenticationError, ConnectionError, TimeoutError]
    return tuple(found)


def make_bucket(folder: Path) -> None:
    """Create the bucket of a folder on the Hub, private, unless it exists; other kinds of buckets must exist."""
    fs, name = _at(folder)
    if hasattr(fs, "make_bucket"):
        fs.make_bucket(name)


def is_public(folder: Path) -> bool:
    """Whether anyone can read the folder; False where the storage does not say."""
    fs, name = _at(folder)
    return hasattr(fs, "is_public") and bool(fs.is_public(name))


def read(path: Path, start: int | None = None) -> bytes:
    """Read a file from the byte `start` on, in one request.

    Raises:
        FileNotFoundError: there is no such file.
    """
    fs, name = _at(path)
    return cast(bytes, fs.cat_file(name, start=start))


def put(path: Path, content: bytes) -> None:
    """Write an object, atomically where the storage supports that."""
    fs, name = _at(path)
    try:
        fs.pipe_file(name, content)
    except FileNotFoundError:
        if is_remote(path):
            from upath.implementations.cloud import CloudPath

            if isinstance(path, CloudPath):  # There is no such bucket.
                raise
        fs.makedirs(_at(path.parent)[1], exist_ok=True)
        fs.pipe_file(name, content)


def remove(paths: Collection[Path]) -> None:
    """Delete files of one folder that may be gone already; in remote storage, in one request."""
    if not any(is_remote(path) for path in paths):
        for path in paths:
            path.unlink(missing_ok=True)
        return
    places = [_at(path) for path in paths]
    with suppress(FileNotFoundError):
        places[0][0].rm([name for _, name in places])


def upload(local: Path, path: Path) -> None:
    """Copy a local file to an object, which appears when it is complete."""
    fs, name = _at(path)
    fs.put_file(str(local), name)


def download(path: Path, local: Path) -> None:
    """Copy a file to a local one."""
    fs, name = _at(path)
    fs.get_file(name, str(local))


def modified(path: Path) -> float:
    """Modification time of a file in seconds, by the clock of its storage.

    Raises:
        FileNotFoundError: there is no such file.
    """
    fs, name = _at(path)
    return float(fs.modified(name).timestamp())


def listed(folder: Path) -> list[tuple[str, int]]:
    """The files of a folder with their sizes, sorted by name; none if there is no folder."""
    fs, name = _at(folder)
    try:
        details = fs.ls(name, detail=True, refresh=True)
    except FileNotFoundError:
        return []
    return sorted((info["name"].rpartition("/")[2], int(info["size"])) for info in details if info["type"] == "file")


def num_bytes(folder: Path) -> int:
    """Size of a folder's content."""
    fs, name = _at(folder)
    return sum(int(info["size"]) for info in fs.find(name, detail=True).values())


def remove_tree(folder: Path) -> None:
    """Delete a folder and its content, if it exists."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        fs, name = _at(folder)
        fs.rm(name, recursive=True)


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Yield a local folder that is deleted when the block ends: in `folder`, or in the system's if that is remote."""
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


def _at(path: Path) -> tuple[Any, str]:
    """The file system of a path, and its name there."""
    if is_remote(path):
        return cast(Any, path).fs, cast(Any, path).path
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem(), str(path)
