"""The Hub of the tests with buckets: their protocol, as huggingface_hub speaks it.

Clients upload with the real hf_xet, each time into a folder of its own: one folder takes one process at a time. The Hub
reads what a batch names, and serves it over HTTP.
"""

import itertools
import json
import re
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.hub.server import Answer, HubServer, RefusedError, Request, ranged
from tests.hub.xet import XetStore

_EMPTY = "0" * 64
"""Xet's hash of an empty file, which is in no store."""
_ID = r"(?P<bucket_id>[^/]+/[^/]+)"


@dataclass(frozen=True)
class BucketFile:
    content: bytes
    xet_hash: str
    mtime: float
    """By the client's clock, in seconds."""
    uploaded: float
    """By the Hub's clock."""


@dataclass
class Bucket:
    private: bool
    files: dict[str, BucketFile] = field(default_factory=dict)


class BucketHub(HubServer):
    """A Hub with buckets too."""

    clock_ahead_s = 0.0
    """Of the Hub's clock."""
    lag_s = 0.0
    """How long a new file is in no listing."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.xet = XetStore(folder / "sets")
        self._uploads: list[XetStore] = []
        self._folders = (folder / str(number) for number in itertools.count())
        self.buckets: dict[str, Bucket] = {}
        api = rf"/api/buckets/{_ID}"
        file = rf"/buckets/{_ID}/resolve/(?P<path>.+)"
        for method, pattern, answer in (
            ("POST", api, self.create_bucket),
            ("GET", api, self.bucket_info),
            ("GET", api + r"/tree(?:/(?P<prefix>.*))?", self.bucket_tree),
            ("POST", api + r"/paths-info", self.bucket_paths_info),
            ("POST", api + r"/batch", self.bucket_batch),
            ("GET", api + r"/xet-(?P<kind>read|write)-token", self.bucket_token),
            ("GET", file, self.bucket_file),
            ("HEAD", file, self.bucket_file),
        ):
            self._routes[False].append((method, re.compile(pattern), answer))

    def create_bucket(self, request: Request, bucket_id: str) -> Answer:
        self._need_write(request, bucket_id.partition("/")[0])
        url = f"{self.url}/buckets/{bucket_id}"
        if bucket_id in self.buckets:
            raise RefusedError(409, "You already created this bucket", body={"url": url})
        self.buckets[bucket_id] = Bucket(private=request.json().get("visibility") == "private")
        return Answer.json({"url": url, "id": bucket_id})

    def bucket_info(self, request: Request, bucket_id: str) -> Answer:
        bucket = self._bucket(request, bucket_id)
        return Answer.json(
            {
                "_id": "0" * 24,
                "id": bucket_id,
                "private": bucket.private,
                "createdAt": "2026-01-01T00:00:00.000Z",
                "size": sum(len(file.content) for file in bucket.files.values()),
                "totalFiles": len(bucket.files),
            }
        )

    def bucket_tree(self, request: Request, bucket_id: str, prefix: str = "") -> Answer:
        """As the Hub does, the prefix is one of letters: `a` lists `ab` too."""
        files = self._bucket(request, bucket_id).files
        until = self._now() - self.lag_s
        is_recursive = request.query.get("recursive", ["false"])[0].lower() == "true"
        entries: dict[str, dict[str, Any]] = {}
        for path, file in sorted(files.items()):
            if not path.startswith(prefix) or file.uploaded > until:
                continue
            parent = f"{prefix}/" if path.startswith(f"{prefix}/") else f"{prefix.rpartition('/')[0]}/".lstrip("/")
            name, slash, _ = path[len(parent) :].partition("/")
            if slash and not is_recursive:
                found = {"type": "directory", "path": f"{parent}{name}", "uploadedAt": _iso(file.uploaded)}
            else:
                found = _listed(path, file)
            entries[found["path"]] = found
        start = int(request.query.get("cursor", ["0"])[0])
        end = start + self.tree_page
        links = {}
        if end < len(entries):
            query = f"recursive={str(is_recursive).lower()}&cursor={end}"
            links["Link"] = f'<{self.url}{request.path}?{query}>; rel="next"'
        return Answer.json(list(entries.values())[start:end], headers=links)

    def bucket_paths_info(self, request: Request, bucket_id: str) -> Answer:
        files = self._bucket(request, bucket_id).files
        return Answer.json([_listed(path, files[path]) for path in request.json()["paths"] if path in files])

    def bucket_batch(self, request: Request, bucket_id: str) -> Answer:
        bucket = self._bucket(request, bucket_id)
        self._need_write(request, bucket_id.partition("/")[0])
        failed = []
        for line in map(json.loads, request.body.splitlines()):
            if line["type"] == "deleteFile":
                if bucket.files.pop(line["path"], None) is None:
                    failed.append({"path": line["path"], "error": "File not found"})
                continue
            assert line["type"] in ("addFile", "copyFile")
            if (content := self._content(line["xetHash"])) is None:
                failed.append({"path": line["path"], "error": "Xet hash not found"})
            else:
                file = BucketFile(content, line["xetHash"], line["mtime"] / 1000, self._now())
                bucket.files[line["path"]] = file
        return Answer.json({"success": not failed, "failed": failed}, 422 if failed else 200)

    def bucket_token(self, request: Request, bucket_id: str, kind: str) -> Answer:
        self._bucket(request, bucket_id)
        assert kind == "write", "files are read over HTTP"
        self._need_write(request, bucket_id.partition("/")[0])
        self._uploads.append(XetStore(next(self._folders)))
        return self.xet_answer(self._uploads[-1])

    def bucket_file(self, request: Request, bucket_id: str, path: str) -> Answer:
        files = self._bucket(request, bucket_id).files
        if path not in files:
            raise RefusedError(404, f"{path} not found", code="EntryNotFound")
        return ranged(request, files[path].content, {"ETag": f'"{files[path].xet_hash}"'})

    def _content(self, xet_hash: str) -> bytes | None:
        """What a client has uploaded, or a file has."""
        for store in self._uploads:
            if file := store.find(xet_hash):
                # The client still has the folder open.
                copy = XetStore(shutil.copytree(store.folder, next(self._folders)))
                self._uploads.remove(store)
                return copy.read(file)
        files = (file for bucket in self.buckets.values() for file in bucket.files.values())
        return b"" if xet_hash == _EMPTY else next((f.content for f in files if f.xet_hash == xet_hash), None)

    def _bucket(self, request: Request, bucket_id: str) -> Bucket:
        role = self._role(request)
        bucket = self.buckets.get(bucket_id)
        if bucket is None or (bucket.private and role is None):
            raise RefusedError(404 if role else 401, "Bucket not found", code="RepoNotFound")
        return bucket

    def _now(self) -> float:
        return time.time() + self.clock_ahead_s


def _listed(path: str, file: BucketFile) -> dict[str, Any]:
    return {
        "type": "file", "path": path, "size": len(file.content), "xetHash": file.xet_hash,
        "mtime": _iso(file.mtime), "uploadedAt": _iso(file.uploaded),
    }  # fmt: skip


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
