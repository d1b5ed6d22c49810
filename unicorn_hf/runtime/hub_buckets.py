"""Work folders in a bucket of the Hugging Face Hub: `hf://buckets/ORG/NAME/PATH`.

huggingface_hub's file system keeps listings, so that files of other processes stay hidden, and the paths that
universal-pathlib has for it are read-only. Both are extended here, for buckets alone.
"""

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from huggingface_hub import HfFileSystem, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    disable_progress_bars,
    hf_raise_for_status,
    http_backoff,
)
from upath.implementations.cloud import CloudPath, HfPath
from upath.registry import register_implementation

_NOT_FOUND = 404
_HubFileSystem: Any = HfFileSystem
"""Its arguments for revisions are no concern of buckets."""


class _NoCache(dict[str, Any]):
    """A cache that stays empty."""

    def __setitem__(self, key: str, value: Any) -> None:
        pass

    def update(self, *_: Any, **__: Any) -> None:
        pass


class BucketFileSystem(_HubFileSystem):  # type: ignore[misc]
    """The Hub's buckets without a cache, in few requests."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dircache = _NoCache()
        disable_progress_bars()  # One for each file.

    def make_bucket(self, path: str) -> None:
        """Create the bucket of `path`, private, unless it exists.

        Raises:
            OSError: it does not exist, and the token may not create it.
        """
        try:
            self.resolve_path(path)
        except FileNotFoundError:
            self._api.create_bucket(_bucket_of(path), private=True, exist_ok=True)
            self.invalidate_cache()

    def is_public(self, path: str) -> bool:
        return not self._api.bucket_info(_bucket_of(path)).private

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        place = self.resolve_path(path)
        name = place.unresolve()
        if place.path:
            for file in self._api.get_bucket_paths_info(place.bucket_id, [place.path]):
                facts = {"size": file.size, "xet_hash": file.xet_hash, "uploaded_at": file.uploaded_at}
                return {"name": name, "type": "file", **facts}
            self.ls(name)  # A folder exists as long as there are files in it.
        return {"name": name, "type": "directory", "size": 0}

    def modified(self, path: str, **_: Any) -> Any:
        """The time of the upload, by the Hub's clock; the `mtime` of a file is from its writer's clock."""
        return self.info(path)["uploaded_at"]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        place = self.resolve_path(path)
        headers = build_hf_headers(token=self.token)
        if start or end is not None:
            headers["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        url = f"{self.endpoint}/buckets/{place.bucket_id}/resolve/{quote(place.path)}"
        response = http_backoff("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
        if response.status_code == _NOT_FOUND:
            raise FileNotFoundError(path)
        hf_raise_for_status(response)
        return bytes(response.content)

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        Path(lpath).write_bytes(self.cat_file(rpath))

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        self._change(path, add=[(value, _in_bucket(path))])

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self._change(rpath, add=[(lpath, _in_bucket(rpath))])

    def rm(self, path: str | list[str], recursive: bool = False, **_: Any) -> None:
        paths = [path] if isinstance(path, str) else path
        if recursive:
            paths = [name for folder in paths for name in self.find(folder)]
        if not paths:
            return
        names = [_in_bucket(name) for name in paths]
        try:
            self._change(paths[0], delete=names)
        except HfHubHTTPError:
            # Some may have been gone before.
            if any(self._api.get_bucket_paths_info(_bucket_of(paths[0]), names)):
                raise

    def _change(self, path: str, **operations: Any) -> None:
        self._api.batch_bucket_files(_bucket_of(path), **operations)


class BucketPath(HfPath):  # type: ignore[misc]
    """A path that can be written."""

    __slots__ = ()
    put_every_s: ClassVar[float] = 10.0
    """A file is two requests, and the Hub limits them: 1,000 in five minutes for a free account."""
    settle_s: ClassVar[float] = 3.0
    """The Hub promises no consistency. After this time, a file is assumed to be in all listings."""

    unlink = CloudPath.unlink
    write_bytes = CloudPath.write_bytes
    write_text = CloudPath.write_text

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a bucket has no folders of its own."""

    @classmethod
    def _fs_factory(cls, urlpath: str, protocol: str, storage_options: Any) -> Any:
        if _is_bucket(urlpath):
            return BucketFileSystem(**storage_options)
        return super()._fs_factory(urlpath, protocol, storage_options)


# A UPath's class is looked up by its protocol. Paths of repositories behave as before.
register_implementation("hf", BucketPath, clobber=True)


def _is_bucket(url: str) -> bool:
    return url.removeprefix("hf://").startswith("buckets/")


def _bucket_of(path: str) -> str:
    """ORG/NAME."""
    return "/".join(path.split("/")[1:3])


def _in_bucket(path: str) -> str:
    return "/".join(path.split("/")[3:])
