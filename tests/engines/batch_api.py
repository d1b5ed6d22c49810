"""A server with OpenAI's batches on loopback: it answers as `echo` does, and has all faults of real ones on demand.

Its clock moves by a minute with each request that reaches it.
"""

import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.engines.chat_server import Body, completion, serving
from unicorn_hf.core.ids import stable_fraction

ENDED = ("completed", "expired", "cancelled", "failed")
PAGE = 3
"""Batches on a page of the list: few, so that there are several."""
Reply = tuple[int, bytes]


class _CutError(Exception):
    """The connection breaks instead of an answer."""


@dataclass
class _Batch:
    id: str
    file: str
    metadata: dict[str, str]
    created: int
    status: str = "validating"
    errors: dict[str, Any] | None = None
    output: str = ""
    error_file: str = ""
    counts: dict[str, int] = field(default_factory=lambda: {"total": 0, "completed": 0, "failed": 0})


@dataclass
class BatchApi:
    """Settings are faults; the rest is what it was asked."""

    takes_min: int = 4
    """How long a batch takes."""
    share_expired: float = 0.0
    """Of the requests of a batch, and so of batches: which ones differs from batch to batch."""
    quota: int = 10**12
    """Bytes of batches that may be queued, in place of tokens."""
    lost_creates: frozenset[int] = frozenset()
    """Which creations, by number, get no answer though they succeed."""
    failed_creates: frozenset[int] = frozenset()
    """Which creations get no answer and fail."""
    cut_downloads: frozenset[int] = frozenset()
    """Which downloads, by number, end within their content."""
    gone: range = range(0)
    """Minutes of its clock in which it is gone."""
    refuses: Callable[[Body], Reply | None] = lambda body: None
    """The status and body of a line's response, in place of a completion."""
    changes: Callable[[str, Reply], Reply] = lambda request, reply: reply
    """Changes the reply to a request, given as method and path. The content of a 302 is the address."""
    has_list: bool = True
    has_metadata: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, _Batch] = field(default_factory=dict)
    paid: Counter[str] = field(default_factory=Counter)
    """How often each request was answered."""
    clock_min: int = 0
    num_creates: int = 0
    num_downloads: int = 0
    num_uploads: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator["BatchApi"]:
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        with serving(self._server):
            yield self

    def reply(self, method: str, path: str, body: bytes) -> Reply:
        with self._lock:
            self.clock_min += 1
            if self.clock_min in self.gone:
                raise _CutError
            for batch in self.batches.values():
                self._go_on(batch)
            path, _, query = path.removeprefix("/v1/").partition("?")
            match method, path.split("/"):
                case "POST", ["files"]:
                    return self._upload(body)
                case "POST", ["batches"]:
                    return self._create(json.loads(body))
                case "GET", ["batches"] if self.has_list:
                    return self._list(query)
                case "GET", ["batches", name] if name in self.batches:
                    return 200, json.dumps(self._told(self.batches[name])).encode()
                case "GET", ["files", name, "content"] if name in self.files:
                    return self._download(name)
            return 404, b'{"error": {"message": "Not Found"}}'

    def _upload(self, body: bytes) -> Reply:
        self.num_uploads += 1
        content = re.search(rb'name="file"; filename="[0-9a-f]+\.jsonl"\r\n[^\r]*\r\n\r\n(.*)\r\n--', body, re.DOTALL)
        assert content and b'name="purpose"\r\n\r\nbatch\r\n' in body
        name = f"file-{len(self.files)}"
        self.files[name] = content[1]
        return 200, json.dumps({"id": name, "object": "file", "purpose": "batch"}).encode()

    def _create(self, body: Body) -> Reply:
        self.num_creates += 1
        assert body["endpoint"] == "/v1/chat/completions" and body["completion_window"] == "24h"
        if body["input_file_id"] not in self.files:
            return 400, b'{"error": {"message": "no such file"}}'
        if self.num_creates in self.failed_creates:
            raise _CutError
        metadata = body["metadata"] if self.has_metadata else {}
        batch = _Batch(f"batch-{len(self.batches)}", body["input_file_id"], metadata, self.clock_min)
        queued = [other for other in self.batches.values() if other.status not in ENDED]
        if sum(len(self.files[other.file]) for other in [*queued, batch]) > self.quota:
            batch.status = "failed"
            message = "Enqueued token limit reached for m in organization o. Limit: 90,000 enqueued tokens."
            batch.errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": message}]}
        self.batches[batch.id] = batch
        if self.num_creates in self.lost_creates:
            raise _CutError
        return 200, json.dumps(self._told(batch)).encode()

    def _list(self, query: str) -> Reply:
        newest_first = list(self.batches.values())[::-1]
        after = re.search(r"after=([\w-]+)", query)
        at = 1 + [batch.id for batch in newest_first].index(after[1]) if after else 0
        page = [self._told(batch) for batch in newest_first[at : at + PAGE]]
        return 200, json.dumps({"data": page, "has_more": at + PAGE < len(newest_first)}).encode()

    def _download(self, name: str) -> Reply:
        self.num_downloads += 1
        content = self.files[name]
        return 200, content[: 2 * len(content) // 3] if self.num_downloads in self.cut_downloads else content

    def _told(self, batch: _Batch) -> Body:
        return {
            "id": batch.id, "object": "batch", "status": batch.status, "input_file_id": batch.file,
            "metadata": batch.metadata or None, "errors": batch.errors, "request_counts": batch.counts,
            "output_file_id": batch.output or None, "error_file_id": batch.error_file or None,
        }  # fmt: skip

    def _go_on(self, batch: _Batch) -> None:
        if batch.status in ENDED:
            return
        batch.status = "in_progress"
        if self.clock_min < batch.created + self.takes_min:
            return
        output, errors = [], []
        for text in self.files[batch.file].splitlines():
            line = json.loads(text)
            key, body = line["custom_id"], line["body"]
            told = {"id": f"r-{key}", "custom_id": key, "response": None, "error": None}
            if stable_fraction(batch.id, key) < self.share_expired:
                message = "This request could not be executed before the completion window expired."
                errors.append(told | {"error": {"code": "batch_expired", "message": message}})
            elif refused := self.refuses(body):
                status, content = refused
                response = {"status_code": status, "request_id": "r", "body": json.loads(content)}
                errors.append(told | {"response": response})
            else:
                self.paid[key] += 1
                response = {"status_code": 200, "request_id": "r", "body": completion(body)}
                output.append(told | {"response": response})
        batch.counts = {"total": len(output) + len(errors), "completed": len(output), "failed": len(errors)}
        batch.output, batch.error_file = self._written(output), self._written(errors)
        batch.status = "expired" if self.share_expired and errors else "completed"

    def _written(self, lines: list[Body]) -> str:
        if not lines:
            return ""
        name = f"file-{len(self.files)}"
        # Unlike the requests, the answers have no order.
        lines.sort(key=lambda line: stable_fraction(line["custom_id"]))
        self.files[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return name


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def _handler(api: BatchApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers["content-length"])))

        def _reply(self, body: bytes) -> None:
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            try:
                reply = api.reply(self.command, self.path, body)
                status, content = api.changes(f"{self.command} {self.path}", reply)
            except _CutError:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            self.send_response(status)
            if status == 302:
                self.send_header("location", content.decode())
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    return Handler


def write_batch_recipe(folder: Path, captions: int, instructions: int, *, partition_rows: int, engine: str) -> Path:
    """A recipe with conversations of all tasks, from `seeds.txt` in the folder."""
    path = folder / "mine.yaml"
    path.write_text(
        f"name: mine\npartition_rows: {partition_rows}\nengine: {engine}\n"
        "seeds: {sources: [{path: seeds.txt, kind: file}]}\n"
        f"captions: {{num: {captions}}}\ninstructions:\n  num: {instructions}\n  tasks:\n"
        "    multiple_choice: {weight: 2, pairs: {min: 3, max: 4}, prompt: multiple_choice-v2}\n"
        "    question_answering: {weight: 2, pairs: {min: 3, max: 4}, prompt: question_answering-v2}\n"
        "    complex_reasoning: {weight: 1, pairs: {min: 2, max: 4}, prompt: complex_reasoning-v2}\n"
        "representations: {encoder: 'hashing:16'}\n"
    )
    return path
