"""A Hub for tests: the Hugging Face Hub's protocol over HTTP on loopback, with its checks, and faults on demand.

Two sockets, as in the world: the Hub itself, and the store behind it, which takes and serves large files under signed
addresses and refuses to see a token. State is in memory. Real `huggingface_hub` and `datasets` clients talk to it.
"""

import base64
import hashlib
import itertools
import json
import re
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import yaml

from tests.hub.xet import XetStore

MAX_REGULAR_BYTES = 10 * 1024 * 1024
GIT_ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
LARGE_SUFFIXES = (".parquet", ".safetensors", ".png", ".bin")


@dataclass(frozen=True)
class Blob:
    """A file's bytes as a repository holds them; `sha256` is set where it is a large file."""

    content: bytes
    sha256: str | None = None

    @property
    def git_oid(self) -> str:
        stored = self.content if self.sha256 is None else b"version 1\noid sha256:%s\n" % self.sha256.encode()
        return hashlib.sha1(b"blob %d\0%s" % (len(stored), stored)).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 or self.git_oid

    def listing(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"oid": self.git_oid, "size": len(self.content)}
        if self.sha256:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: Mapping[str, Blob]


@dataclass
class Repository:
    """A data set or a model: its commits, oldest first, and the large files that it was given, committed or not."""

    repo_id: str
    private: bool
    gated: bool = False
    """As the list of data sets says; its files are served all the same."""
    commits: list[Commit] = field(default_factory=list)
    """Of `main`."""
    branches: dict[str, list[Commit]] = field(default_factory=dict)
    """The commits of the other branches, each with those that it shares."""
    tags: dict[str, str] = field(default_factory=dict)
    pull_requests: list["PullRequest"] = field(default_factory=list)
    large_files: dict[str, bytes] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, title: str, files: Mapping[str, Blob], branch: str = "main") -> Commit:
        commits = self.line(branch)
        commits.append(Commit(secrets.token_hex(20), title, dict(sorted(files.items()))))
        return commits[-1]

    def line(self, branch: str) -> list[Commit]:
        """A branch's commits."""
        if branch == "main":
            return self.commits
        if branch not in self.branches:
            raise RefusedError(404, f"Invalid rev id: {branch}", code="RevisionNotFound")
        return self.branches[branch]

    def at(self, revision: str) -> Commit:
        name = revision.removeprefix("refs/heads/")
        if name == "main" or name in self.branches:
            return self.line(name)[-1]
        for proposed in self.pull_requests:
            if revision == proposed.reference:
                return proposed.commit
        oid = self.tags.get(revision, revision)
        for commit in (*self.commits, *(c for line in self.branches.values() for c in line)):
            if commit.oid == oid:
                return commit
        raise RefusedError(404, f"Revision {revision} not found", code="RevisionNotFound")


@dataclass
class PullRequest:
    num: int
    author: str
    commit: Commit
    status: str = "open"

    @property
    def reference(self) -> str:
        return f"refs/pr/{self.num}"


class RefusedError(Exception):
    """An answer that is not a success."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.body = dict(body or {})


class LostConnectionError(Exception):
    """The connection ends here, without an answer."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    to_store: bool

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


@dataclass(frozen=True)
class Seen:
    """A request that came in, and what was answered; 0 where nothing was."""

    method: str
    path: str
    status: int
    num_bytes: int


@dataclass
class Fault:
    """What goes wrong with requests that match. `after` of them pass first, then it strikes `times` times."""

    method: str
    path: str
    """A regular expression, searched for in the path."""
    status: int = 0
    """Answered at once, with nothing done; the connection is cut instead where it is 0 and nothing else is set."""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    times: float = 1
    lose_answer: bool = False
    """Do what was asked, then cut the connection."""
    delay_s: float = 0.0
    """Wait, then do what was asked."""
    corrupt: bool = False
    """Do what was asked with a flipped byte in its body."""
    action: Callable[["HubServer"], None] | None = None
    """Called, then the request is served."""
    struck: int = 0

    def matches(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.path, path):
            return False
        self.struck += 1
        return self.after < self.struck <= self.after + self.times

    @property
    def cuts(self) -> bool:
        return not (self.status or self.lose_answer or self.delay_s or self.corrupt or self.action)


Route = tuple[str, re.Pattern[str], Callable[..., Answer]]


class HubServer:
    """A Hub with one user. `url` is what HF_ENDPOINT is set to."""

    token = "hf_" + "w" * 30
    """May write, until a test takes it out of `tokens`."""
    reading_token = "hf_" + "r" * 30
    user = "unicorn-maker"
    hardware: Sequence[tuple[str, str, int, str, int]] = (
        ("cpu-basic", "", 0, "", 0),
        ("t4-small", "T4", 1, "16 GB", 10_000),
        ("l4x1", "L4", 1, "24 GB", 20_000),
        ("l4x4", "L4", 4, "96 GB", 70_000),
        ("a100-large", "A100", 1, "80 GB", 50_000),
        ("a100x4", "A100", 4, "320 GB", 200_000),
        ("h200", "H200", 1, "141 GB", 100_000),
        ("rtx-pro-6000x2", "RTX PRO 6000", 2, "192 GB", 100_000),
        ("v5e-1x1", "TPU v5e", 1, "16 GB", 20_000),
    )
    organizations: Mapping[str, str] = {"unicorn-lab": "admin", "readers": "read"}
    multipart_from = 1 << 62
    """Files of this size or more are asked for in parts of `part_bytes`."""
    part_bytes = 1 << 20
    tree_page = 100
    next_sets = ""
    """Where the list of data sets continues, if set: this page of it is empty."""
    max_file_bytes = 50 * 1000**3
    xet: XetStore | None = None
    """Where large files go instead of the signed addresses, if set; clients must then have hf_xet."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {self.token: "write", self.reading_token: "read"}
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self._parts: dict[str, dict[int, bytes]] = {}
        self._signatures: dict[str, tuple[str, str, int]] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._servers = [_Server(("127.0.0.1", 0), self._handler(to_store)) for to_store in (False, True)]
        self.url, self.store_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        # Of data sets and models.
        repo = r"/api/(?:datasets|models)/(?P<repo_id>[^/]+/[^/]+)"
        file = r"(?:/datasets)?/(?P<repo_id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
        lfs = r"(?:/datasets)?/(?P<repo_id>[^/]+/[^/]+)\.git/info/lfs"
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", r"/api/whoami-v2", self.whoami),
            ("POST", r"/api/validate-yaml", self.validate_yaml),
            ("POST", r"/api/repos/create", self.create),
            ("GET", r"/api/datasets", self.list_datasets),
            ("GET", r"/api/jobs/hardware", self.list_hardware),
            ("GET", repo, self.info),
            ("GET", repo + r"/revision/(?P<revision>[^/]+)", self.info),
            ("GET", repo + r"/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?", self.tree),
            ("POST", repo + r"/paths-info/(?P<revision>[^/]+)", self.paths_info),
            ("GET", repo + r"/refs", self.refs),
            ("POST", repo + r"/branch/(?P<branch>[^/]+)", self.create_branch),
            ("POST", repo + r"/tag/(?P<revision>[^/]+)", self.create_tag),
            ("GET", repo + r"/discussions", self.discussions),
            ("POST", repo + r"/preupload/(?P<revision>[^/]+)", self.preupload),
            ("POST", repo + r"/commit/(?P<revision>[^/]+)", self.commit),
            ("GET", repo + r"/xet-(?P<kind>read|write)-token/(?P<revision>[^/]+)", self.xet_token),
            ("POST", lfs + r"/objects/batch", self.lfs_batch),
            ("POST", lfs + r"/verify", self.lfs_verify),
            ("HEAD", file, self.resolve),
            ("GET", file, self.resolve),
        ]
        store_routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("PUT", r"/upload/(?P<sha256>[0-9a-f]{64})", self.store_put),
            ("PUT", r"/part/(?P<sha256>[0-9a-f]{64})/(?P<number>\d+)", self.store_part),
            ("POST", r"/complete/(?P<sha256>[0-9a-f]{64})", self.store_complete),
            ("GET", r"/download/(?P<sha256>[0-9a-f]{64})", self.store_get),
            ("HEAD", r"/download/(?P<sha256>[0-9a-f]{64})", self.store_get),
        ]
        self._routes: dict[bool, list[Route]] = {
            to_store: [(method, re.compile(pattern), serve) for method, pattern, serve in table]
            for to_store, table in ((False, routes), (True, store_routes))
        }

    @contextmanager
    def running(self) -> Iterator["HubServer"]:
        threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in self._servers]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for server in self._servers:
                server.shutdown()
                server.server_close()
            for thread in threads:
                thread.join()

    # What tests ask.

    def count(self, method: str, path: str) -> int:
        """How many requests so far matched, answered with success or not."""
        return sum(seen.method == method and re.search(path, seen.path) is not None for seen in self.seen)

    def num_uploads(self) -> int:
        """How many large files, or parts of one, were received whole."""
        return sum(seen.method == "PUT" and seen.status == 200 for seen in self.seen)

    def files(self, repo_id: str) -> dict[str, bytes]:
        return {path: blob.content for path, blob in self.repositories[repo_id].head.files.items()}

    def add_repository(
        self, repo_id: str, files: Mapping[str, bytes] | None = None, private: bool = False
    ) -> Repository:
        """A repository as the Hub makes it, then one commit with `files`, if any."""
        repository = Repository(repo_id, private)
        first = repository.commit("initial commit", {".gitattributes": Blob(GIT_ATTRIBUTES)})
        if files:
            repository.commit("Add files", {**first.files, **{path: Blob(content) for path, content in files.items()}})
        self.repositories[repo_id] = repository
        return repository

    # The Hub's side of the protocol. Each takes the request and the named parts of its path.

    def whoami(self, request: Request) -> Answer:
        role = self._role(request)
        if role is None:
            raise RefusedError(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in self.organizations.items()]
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        return Answer.json({"type": "user", "name": self.user, "orgs": orgs, "auth": auth})

    def validate_yaml(self, request: Request) -> Answer:
        errors = _card_errors(request.json()["content"])
        return Answer.json({"errors": [{"message": error} for error in errors], "warnings": []}, 400 if errors else 200)

    def create(self, request: Request) -> Answer:
        wanted = request.json()
        kind = wanted.get("type", "model")
        if kind not in ("dataset", "model"):
            raise RefusedError(400, "This Hub has data sets and models only")
        namespace = wanted.get("organization") or self.user
        repo_id = f"{namespace}/{wanted['name']}"
        url = f"{self.url}/datasets/{repo_id}" if kind == "dataset" else f"{self.url}/{repo_id}"
        self._need_write(request, namespace)
        if repo_id in self.repositories:
            raise RefusedError(409, f"You already created this {kind} repo", body={"url": url})
        self.add_repository(repo_id, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        return Answer.json({"url": url, "id": repo_id, "name": repo_id})

    def info(self, request: Request, repo_id: str, revision: str = "main") -> Answer:
        repository = self._readable(request, repo_id)
        commit = repository.at(revision)
        blobs = request.query.get("blobs", ["false"])[0].lower() in ("true", "1")
        return Answer.json(
            {
                "_id": "0" * 24,
                "id": repo_id,
                "author": repo_id.partition("/")[0],
                "sha": commit.oid,
                "private": repository.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "createdAt": "2026-01-01T00:00:00.000Z",
                "lastModified": "2026-01-01T00:00:00.000Z",
                "siblings": [_sibling(path, blob, blobs) for path, blob in commit.files.items()],
            }
        )

    def list_datasets(self, request: Request) -> Answer:
        """The repositories whose cards carry all tags of the filter, the last that changed first."""
        if self.next_sets:
            return Answer.json([], headers={"Link": f'<{self.next_sets}>; rel="next"'})
        role = self._role(request)
        wanted = set(request.query.get("filter", []))
        found = [
            {
                "_id": "0" * 24,
                "id": repository.repo_id,
                "sha": repository.head.oid,
                "private": repository.private,
                "gated": "auto" if repository.gated else False,
                "tags": tags,
                "lastModified": "2026-01-01T00:00:00.000Z",
            }
            for repository in reversed(self.repositories.values())
            if wanted <= set(tags := _tags(repository.head)) and (role or not repository.private)
        ]
        start = int(request.query.get("cursor", ["0"])[0])
        end = start + min(self.tree_page, int(request.query.get("limit", ["1000"])[0]))
        query = urlencode({**request.query, "cursor": [str(end)]}, doseq=True)
        links = {"Link": f'<{self.url}{request.path}?{query}>; rel="next"'} if end < len(found) else {}
        return Answer.json(found[start:end], headers=links)

    def list_hardware(self, request: Request) -> Answer:
        """The machines of Jobs: name, GPU, number, memory of all, micro-dollars a minute. Invented prices."""
        return Answer.json([_hardware(*machine) for machine in self.hardware])

    def tree(self, request: Request, repo_id: str, revision: str, folder: str | None = None) -> Answer:
        entries = _entries(self._readable(request, repo_id).at(revision).files)
        prefix = f"{folder}/" if folder else ""
        below = {path: entry for path, entry in entries.items() if path.startswith(prefix)}
        if prefix and not below:
            raise RefusedError(404, f"{folder} does not exist", code="EntryNotFound")
        if request.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            below = {path: entry for path, entry in below.items() if "/" not in path[len(prefix) :]}
        start = int(request.query.get("cursor", ["0"])[0])
        end = start + self.tree_page
        links = {}
        if end < len(below):
            recursive = "true" if "recursive" in request.query else "false"
            links["Link"] = f'<{self.url}{request.path}?recursive={recursive}&cursor={end}>; rel="next"'
        return Answer.json(list(below.values())[start:end], headers=links)

    def paths_info(self, request: Request, repo_id: str, revision: str) -> Answer:
        entries = _entries(self._readable(request, repo_id).at(revision).files)
        if request.headers.get("content-type", "").startswith("application/json"):
            paths = request.json()["paths"]
        else:
            paths = parse_qs(request.body.decode())["paths"]
        return Answer.json([entries[path] for path in paths if path in entries])

    def refs(self, request: Request, repo_id: str) -> Answer:
        repository = self._readable(request, repo_id)
        branches = {"main": repository.head.oid, **{name: line[-1].oid for name, line in repository.branches.items()}}
        refs = {"branches": _refs("heads", branches), "converts": [], "tags": _refs("tags", repository.tags)}
        if "include_prs" in request.query:
            proposed = {str(pr.num): pr.commit.oid for pr in repository.pull_requests}
            refs["pullRequests"] = _refs("pr", proposed)
        return Answer.json(refs)

    def create_branch(self, request: Request, repo_id: str, branch: str) -> Answer:
        repository = self._writable(request, repo_id)
        if branch.startswith("refs/"):
            raise RefusedError(400, f"Invalid reference for a branch: {branch}")
        if branch == "main" or branch in repository.branches:
            raise RefusedError(409, "Reference already exists")
        start = repository.at(request.json().get("startingPoint", "main"))
        line = next(line for line in (repository.commits, *repository.branches.values()) if start in line)
        repository.branches[branch] = line[: line.index(start) + 1]
        return Answer.json({})

    def create_tag(self, request: Request, repo_id: str, revision: str) -> Answer:
        repository = self._writable(request, repo_id)
        tag = request.json()["tag"]
        if tag in repository.tags:
            raise RefusedError(409, "Tag reference exists already")
        repository.tags[tag] = repository.at(revision).oid
        return Answer.json({})

    def discussions(self, request: Request, repo_id: str) -> Answer:
        found = [
            {
                "num": pr.num,
                "title": pr.commit.title,
                "status": pr.status,
                "author": {"name": pr.author},
                "createdAt": "2026-01-01T00:00:00.000Z",
                "isPullRequest": True,
                "repo": {"name": repo_id, "type": "dataset"},
            }
            for pr in reversed(self._readable(request, repo_id).pull_requests)
            if request.query.get("status", ["all"])[0] in ("all", pr.status)
        ]
        return Answer.json({"discussions": found, "count": len(found), "start": 0})

    def preupload(self, request: Request, repo_id: str, revision: str) -> Answer:
        files = self._changeable(request, repo_id).at(revision).files
        wanted = request.json()["files"]
        if len(wanted) > 256:
            raise RefusedError(413, "Too many files")
        return Answer.json(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if _is_large(file["path"], file["size"]) else "regular",
                        "shouldIgnore": False,
                        "oid": files[file["path"]].etag if file["path"] in files else None,
                    }
                    for file in wanted
                ]
            }
        )

    def lfs_batch(self, request: Request, repo_id: str) -> Answer:
        repository = self._proposable(request, repo_id)
        wanted = request.json()
        if wanted["operation"] != "upload" or wanted["hash_algo"] != "sha256":
            raise RefusedError(400, "Only uploads by sha256")
        objects = [self._lfs_object(repository, each["oid"], each["size"]) for each in wanted["objects"]]
        transfer = "multipart" if any(o["size"] >= self.multipart_from for o in objects) else "basic"
        if self.xet and "xet" in wanted["transfers"]:
            transfer = "xet"
        return Answer.json({"transfer": transfer, "objects": objects})

    def _lfs_object(self, repository: Repository, sha256: str, size: int) -> dict[str, Any]:
        if sha256 in repository.large_files:
            return {"oid": sha256, "size": size}
        if size > self.max_file_bytes:
            return {"oid": sha256, "size": size, "error": {"code": 413, "message": "The file is too large"}}
        verify = {"href": f"{self.url}/datasets/{repository.repo_id}.git/info/lfs/verify", "header": {}}
        if size >= self.multipart_from:
            numbers = range(1, -(-size // self.part_bytes) + 1)
            upload = {
                "href": self._signed("complete", repository, sha256, size),
                "header": {
                    "chunk_size": str(self.part_bytes),
                    **{str(n): self._signed("part", repository, sha256, size, f"/{n}") for n in numbers},
                },
            }
        else:
            upload = {"href": self._signed("upload", repository, sha256, size)}
        return {"oid": sha256, "size": size, "actions": {"upload": upload, "verify": verify}}

    def lfs_verify(self, request: Request, repo_id: str) -> Answer:
        repository = self._proposable(request, repo_id)
        wanted = request.json()
        content = repository.large_files.get(wanted["oid"])
        if content is None or len(content) != wanted["size"]:
            raise RefusedError(422, "The uploaded file is not the one that was announced")
        return Answer.json({"message": "ok"})

    def commit(self, request: Request, repo_id: str, revision: str) -> Answer:
        repository = self._changeable(request, repo_id)
        parent = repository.line(revision)[-1]
        lines = [json.loads(line) for line in request.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit", parent.oid) != parent.oid:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(parent.files)
        for line in lines[1:]:
            self._apply(repository, files, line["key"], line["value"])
        if errors := _card_errors(files["README.md"].content.decode()) if "README.md" in files else []:
            raise RefusedError(400, f"Invalid card: {errors[0]}")
        url = f"{self.url}/datasets/{repo_id}"
        answer = {"success": True, "hookOutput": ""}
        if "create_pr" in request.query:
            made = Commit(secrets.token_hex(20), header["summary"], dict(sorted(files.items())))
            proposed = PullRequest(len(repository.pull_requests) + 1, self.user, made)
            repository.pull_requests.append(proposed)
            answer["pullRequestUrl"] = f"{url}/discussions/{proposed.num}"
        else:
            made = repository.commit(header["summary"], files, revision)
        return Answer.json({**answer, "commitOid": made.oid, "commitUrl": f"{url}/commit/{made.oid}"})

    def _apply(self, repository: Repository, files: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            content = base64.b64decode(value["content"])
            if _is_large(path, len(content)) and content:
                raise RefusedError(400, f"{path} must be sent as a large file")
            files[path] = Blob(content)
        elif key == "lfsFile":
            self._take_from_xet(repository, value["oid"])
            if value["oid"] not in repository.large_files:
                raise RefusedError(400, f"LFS pointer {path} points to a file that does not exist")
            files[path] = Blob(repository.large_files[value["oid"]], value["oid"])
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise RefusedError(404, "A file with this name doesn't exist", code="EntryNotFound")
        else:
            raise RefusedError(400, f"Unknown operation {key}")

    def xet_token(self, request: Request, repo_id: str, kind: str, revision: str) -> Answer:
        (self._changeable if kind == "write" else self._readable)(request, repo_id).at(revision)
        if self.xet is None:
            raise RefusedError(404, "This repository is not on Xet")
        return self.xet_answer(self.xet)

    def xet_answer(self, store: XetStore) -> Answer:
        """The way to a store of Xet."""
        expires = int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": store.url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expires)}
        return Answer.json({"casUrl": store.url, "accessToken": "xet", "exp": expires}, headers=headers)

    def _take_from_xet(self, repository: Repository, sha256: str) -> None:
        if self.xet and sha256 not in repository.large_files and (file := self.xet.find(sha256)):
            content = self.xet.read(file)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise RefusedError(400, f"{sha256} is not what was sent")
            repository.large_files[sha256] = content

    def _xet_headers(self, repo_id: str, revision: str, sha256: str) -> dict[str, str]:
        if self.xet is None or (file := self.xet.find(sha256)) is None:
            return {}
        route = f"{self.url}/api/datasets/{repo_id}/xet-read-token/{revision}"
        return {"X-Xet-Hash": file.xet_hash, "X-Xet-Refresh-Route": route, "Link": f'<{route}>; rel="xet-auth"'}

    def resolve(self, request: Request, repo_id: str, revision: str, path: str) -> Answer:
        repository = self._readable(request, repo_id)
        commit = repository.at(revision)
        if path not in commit.files:
            raise RefusedError(404, f"{path} not found", code="EntryNotFound", headers={"X-Repo-Commit": commit.oid})
        blob = commit.files[path]
        headers = {"ETag": f'"{blob.etag}"', "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if blob.sha256 is None:
            return ranged(request, blob.content, headers)
        headers |= self._xet_headers(repo_id, commit.oid, blob.sha256)
        headers |= {"X-Linked-Size": str(len(blob.content)), "X-Linked-Etag": f'"{blob.sha256}"'}
        location = self._signed("download", repository, blob.sha256, len(blob.content))
        return Answer(302, b"", {**headers, "Location": location})

    # The store's side. It knows signatures, not users.

    def store_put(self, request: Request, sha256: str) -> Answer:
        return self._store(self._signature(request, sha256), request.body, sha256)

    def store_part(self, request: Request, sha256: str, number: str) -> Answer:
        self._signature(request, sha256)
        if len(request.body) > self.part_bytes:
            raise RefusedError(400, "EntityTooLarge")
        self._parts.setdefault(sha256, {})[int(number)] = request.body
        return Answer(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})

    def store_complete(self, request: Request, sha256: str) -> Answer:
        signature = self._signature(request, sha256)
        parts = self._parts.pop(sha256, {})
        named = [(part["partNumber"], part["etag"].strip('"')) for part in request.json()["parts"]]
        if named != [(number, hashlib.md5(parts[number]).hexdigest()) for number in sorted(parts)]:
            raise RefusedError(400, "InvalidPart")
        return self._store(signature, b"".join(parts[number] for number in sorted(parts)), sha256)

    def _store(self, signature: tuple[str, str, int], content: bytes, sha256: str) -> Answer:
        repo_id, _, size = signature
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise RefusedError(400, "XAmzContentSHA256Mismatch")
        self.repositories[repo_id].large_files[sha256] = content
        return Answer(headers={"ETag": f'"{hashlib.md5(content).hexdigest()}"'})

    def store_get(self, request: Request, sha256: str) -> Answer:
        repo_id, _, _ = self._signature(request, sha256)
        content = self.repositories[repo_id].large_files[sha256]
        return ranged(request, content, {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})

    def _signed(self, action: str, repository: Repository, sha256: str, size: int, rest: str = "") -> str:
        signature = secrets.token_hex(8)
        self._signatures[signature] = (repository.repo_id, sha256, size)
        return f"{self.store_url}/{action}/{sha256}{rest}?X-Amz-Signature={signature}"

    def _signature(self, request: Request, sha256: str) -> tuple[str, str, int]:
        if "authorization" in request.headers:
            raise RefusedError(400, "InvalidArgument: only one way of authentication is allowed")
        found = self._signatures.get(request.query.get("X-Amz-Signature", [""])[0])
        if found is None or found[1] != sha256:
            raise RefusedError(403, "SignatureDoesNotMatch")
        return found

    def expire_signatures(self) -> None:
        self._signatures.clear()

    # Who may do what.

    def _role(self, request: Request) -> str | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        role = self.tokens.get(header.removeprefix("Bearer "))
        if role is None:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return role

    def _need_write(self, request: Request, namespace: str) -> None:
        role = self._role(request)
        if role is None:
            raise RefusedError(401, "Invalid username or password.")
        may = namespace == self.user or self.organizations.get(namespace, "read") != "read"
        if role != "write" or not may:
            raise RefusedError(403, f"You don't have the rights to write under the namespace {namespace}")

    def _readable(self, request: Request, repo_id: str) -> Repository:
        role = self._role(request)
        repository = self.repositories.get(repo_id)
        if repository is None or (repository.private and role is None):
            raise RefusedError(404 if role else 401, "Repository not found", code="RepoNotFound")
        return repository

    def _writable(self, request: Request, repo_id: str) -> Repository:
        repository = self._readable(request, repo_id)
        self._need_write(request, repo_id.partition("/")[0])
        return repository

    def _proposable(self, request: Request, repo_id: str) -> Repository:
        """Anyone may propose to what they can read, with a token that may write."""
        repository = self._readable(request, repo_id)
        if self._role(request) != "write":
            raise RefusedError(403, "This token may only read")
        return repository

    def _changeable(self, request: Request, repo_id: str) -> Repository:
        proposing = "create_pr" in request.query
        return (self._proposable if proposing else self._writable)(request, repo_id)

    # Serving.

    def serve(self, request: Request) -> Answer:
        with self._lock:
            for method, pattern, answer in self._routes[request.to_store]:
                if method == request.method and (match := pattern.fullmatch(request.path)):
                    return answer(request, **{k: unquote(v) for k, v in match.groupdict().items() if v is not None})
        raise RefusedError(404, f"This Hub does not know {request.method} {request.path}")

    def fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.matches(method, path)), None)

    def note(self, method: str, path: str, status: int, num_bytes: int) -> None:
        with self._lock:
            self.seen.append(Seen(method, path, status, num_bytes))

    def _handler(self, to_store: bool) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"hub": self, "to_store": to_store})


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away (killed, or tired of waiting) is part of the tests; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads a request, lets the faults have their way, answers."""

    hub: HubServer
    to_store: bool
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        fault = self.hub.fault(self.command, url.path)
        try:
            body = self._body(cut=fault is not None and fault.cuts)
            answer = self._answer(url.path, parse_qs(url.query), body, fault)
        except LostConnectionError:
            self.hub.note(self.command, url.path, 0, 0)
            self._cut()
            return
        self.hub.note(self.command, url.path, answer.status, len(body))
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    def _answer(self, path: str, query: Mapping[str, list[str]], body: bytes, fault: Fault | None) -> Answer:
        try:
            if fault:
                if fault.status:
                    raise RefusedError(fault.status, "A fault of this test", headers=fault.headers)
                if fault.action:
                    fault.action(self.hub)
                time.sleep(fault.delay_s)
                body = _flipped(body) if fault.corrupt else body
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = self.hub.serve(Request(self.command, path, query, headers, body, self.to_store))
        except RefusedError as refused:
            headers = {"X-Error-Message": refused.message, **refused.headers}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            answer = Answer.json({"error": refused.message, **refused.body}, refused.status, headers)
        if fault and fault.lose_answer:
            raise LostConnectionError
        return answer

    def _body(self, cut: bool) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return self._chunked_body()
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length // 2 if cut else length)
        if cut or len(body) < length:
            raise LostConnectionError
        return body

    def _chunked_body(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _cut(self) -> None:
        """End the connection with a reset: no answer, no orderly close."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `HubServer.seen` is the log."""


def _hardware(name: str, model: str, number: int, memory: str, micro_usd: int) -> dict[str, Any]:
    gpu = {"type": "gpu", "model": model, "quantity": str(number), "vram": memory, "manufacturer": "Nvidia"}
    return {
        "name": name,
        "prettyName": name,
        "cpu": "8 vCPU",
        "ram": "30 GB",
        "ephemeralStorage": "100 GB",
        "accelerator": gpu if number else None,
        "unitCostMicroUSD": micro_usd,
        "unitCostUSD": micro_usd / 1e6,
        "unitLabel": "minute",
    }


def _refs(kind: str, commits: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in commits.items()]


def _is_large(path: str, size: int) -> bool:
    return path.endswith(LARGE_SUFFIXES) or size > MAX_REGULAR_BYTES


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def _sibling(path: str, blob: Blob, with_blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if with_blobs:
        sibling |= {"blobId": blob.git_oid, "size": len(blob.content)}
        if blob.sha256:
            sibling["lfs"] = {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": 134}
    return sibling


def _entries(files: Mapping[str, Blob]) -> dict[str, dict[str, Any]]:
    """What a tree lists: files and folders by path."""
    entries: dict[str, dict[str, Any]] = {}
    for path, blob in files.items():
        for folder in (path[:i] for i, letter in enumerate(path) if letter == "/"):
            oid = hashlib.sha1(folder.encode()).hexdigest()
            entries.setdefault(folder, {"type": "directory", "path": folder, "oid": oid, "size": 0})
        entries[path] = {"type": "file", "path": path, **blob.listing()}
    return entries


def _tags(commit: Commit) -> list[str]:
    """The tags of a commit's card."""
    card = commit.files.get("README.md", Blob(b"")).content.decode()
    metadata = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---\n") else {}
    return [str(tag) for tag in metadata.get("tags", [])]


def _card_errors(card: str) -> list[str]:
    """What the Hub finds wrong with a card's metadata; a card without any is allowed."""
    match = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(?:\n|$)", card, re.DOTALL)
    if not match:
        return []
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"The metadata is not YAML: {' '.join(str(error).split())}"]
    if not isinstance(metadata, dict):
        return ["The metadata must be a mapping"]
    errors = []
    for key in ("tags", "task_categories", "configs"):
        if not isinstance(metadata.get(key, []), list):
            errors.append(f'"{key}" must be an array')
    if not isinstance(metadata.get("license", "mit"), str | list):
        errors.append('"license" must be a string')
    return errors


def ranged(request: Request, content: bytes, headers: Mapping[str, str]) -> Answer:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not match:
        return Answer(200, content, headers)
    size = len(content)
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or size - 1), size - 1)
    else:
        start, end = max(0, size - int(match[2])), size - 1
    if start >= size:
        raise RefusedError(416, "Requested range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    piece = content[start : end + 1]
    return Answer(206, piece, {**headers, "Content-Range": f"bytes {start}-{end}/{size}"})
