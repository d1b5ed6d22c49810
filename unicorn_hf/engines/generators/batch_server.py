"""OpenAI's interface for files and batches, one call at a time.

A question is repeated until it is answered; the creation of a batch never is, since it costs: see `create`.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin

from unicorn_hf.engines.batch import BatchEngine
from unicorn_hf.engines.generators.batch_lines import URL
from unicorn_hf.engines.generators.failures import FinalError, NoReplyError, PassingError
from unicorn_hf.engines.generators.replies import read_result
from unicorn_hf.engines.generators.servers import Server
from unicorn_hf.engines.generators.values import number_in, objects_in, shown, well_formed

NAME = "unicorn_hf"
"""The key of a batch's metadata that holds our name for it."""
_WINDOW = "24h"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
_PAGE, _MOST_PAGES = 100, 1000
_MOST_FILE_BYTES = 2 << 30
_QUEUE_FULL = re.compile(
    r"token_limit_exceeded|enqueued[ _]token|batch_?queue|queue.{0,20}(?:limit|full)"
    r"|too many (?:active |concurrent |pending |enqueued )?batch",
    re.IGNORECASE,
)
T = TypeVar("T")
_ENDED = frozenset({"completed", "succeeded", "expired", "cancelled", "canceled", "failed"})


class QueueFullError(Exception):
    """The provider's quota of queued requests or tokens is used up."""


class GoneError(Exception):
    """The provider no longer has a file."""


class UncertainError(Exception):
    """The answer to the creation of a batch was lost: it may exist."""


class Batch:
    """A batch as the server describes it."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.id, self.input_file = _text(told.get("id")), _text(told.get("input_file_id"))
        self.status = _text(told.get("status")).lower()
        metadata = told.get("metadata")
        self.name = _text(metadata.get(NAME)) if isinstance(metadata, dict) else ""
        files = {"output": told.get("output_file_id"), "errors": told.get("error_file_id")}
        self.files = {name: _text(file) for name, file in files.items() if file}
        counts = told.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        self.num_completed, self.num_failed = (number_in(counts, name) or 0 for name in ("completed", "failed"))
        errors = told.get("errors")
        self.errors = json.dumps(errors, ensure_ascii=False) if errors else ""
        data = errors.get("data") if isinstance(errors, dict) else None
        told_first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
        self.message = shown(str(told_first.get("message") or self.errors))

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def is_refused(self) -> bool:
        """Whether it was refused as a whole, before its first request."""
        return self.status == "failed" and not self.files

    @property
    def has_no_place(self) -> bool:
        """Whether it was refused because the quota is used up."""
        return self.is_refused and bool(_QUEUE_FULL.search(self.errors))


def _text(value: object) -> str:
    return well_formed(str(value or ""))


class BatchServer:
    """A server with batches.

    Args:
        patience_s: how long a question is repeated while the server fails.

    Raises:
        InputError: no server is named, or the key or a proxy in the environment is invalid.
    """

    def __init__(self, engine: BatchEngine, patience_s: float) -> None:
        self._engine = engine = engine.with_address()
        self.patience_s = patience_s
        (self.address,) = engine.base_urls
        self._runner = asyncio.Runner()

        async def opened() -> Server:
            return Server(self.address, 1, engine.timeout_s)

        self._server = self._runner.run(opened())

    def close(self) -> None:
        """Close the connection."""
        self._runner.run(self._server.close())
        self._runner.close()

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file of requests; return the server's name for it.

        Raises:
            NoReplyError: the server refuses it, or does not answer.
        """
        boundary = f"unicorn-hf-{name}"
        fields = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}.jsonl"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        )
        body = fields.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
        told = self._patiently(lambda: self._object("POST", "/files", body, **kind))
        if not told.get("id"):
            raise FinalError(f"its reply to an upload has no id: {shown(json.dumps(told))}")
        return _text(told["id"])

    def create(self, name: str, file: str) -> Batch:
        """Create a batch of an uploaded file. It is sent once: who gets no answer looks for it in `batches`.

        Raises:
            UncertainError: it may exist.
            QueueFullError: it does not exist, because the quota is used up.
            NoReplyError: the server refuses it.
        """
        body = {"input_file_id": file, "endpoint": URL, "completion_window": _WINDOW, "metadata": {NAME: name}}
        try:
            status, headers, content = self._send("POST", "/batches", json.dumps(body).encode())
            if not 200 <= status < 300 and _QUEUE_FULL.search(content.decode(errors="replace")):
                raise QueueFullError
            batch = Batch(read_result(status, headers, content, self._engine))
        except PassingError as failure:
            raise UncertainError(str(failure)) from None
        if not batch.id:
            raise UncertainError("the reply has no id")
        return batch

    def batch(self, name: str) -> Batch:
        """A batch, by the server's name for it.

        Raises:
            NoReplyError: the server does not know it, or does not answer.
        """
        return Batch(self._patiently(lambda: self._object("GET", f"/batches/{name}")))

    def batches(self) -> Iterator[Batch]:
        """All batches of the account, newest first.

        Raises:
            NoReplyError: the server has no list of them, or one without an end, or does not answer.
        """
        after = ""
        for _ in range(_MOST_PAGES):
            path = f"/batches?limit={_PAGE}{f'&after={after}' if after else ''}"
            page = self._patiently(lambda path=path: self._object("GET", path))  # type: ignore[misc]
            found = [Batch(told) for told in objects_in(page.get("data"))]
            yield from found
            if not page.get("has_more") or not found or found[-1].id == after:
                return
            after = found[-1].id
        raise NoReplyError(f"its list of batches has more than {_MOST_PAGES:,} pages")

    def content(self, file: str) -> bytes:
        """The content of a file, which may be cut.

        Raises:
            GoneError: the server does not have it.
            NoReplyError: it refuses, or does not answer.
        """

        def ask() -> bytes:
            status, headers, content = self._send("GET", f"/files/{file}/content")
            if 300 <= status < 400 and (address := headers.get("location")):
                # Providers keep files elsewhere.
                status, headers, content = self._send("GET", urljoin(f"{self.address}/", address))
            if status in (404, 410):
                raise GoneError(shown(content.decode(errors="replace")))
            if not 200 <= status < 300:
                read_result(status, headers, content, self._engine)
            return content

        return self._patiently(ask)

    def _object(self, method: str, path: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
        return read_result(*self._send(method, path, body, **headers), self._engine)

    def _send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        return self._runner.run(self._server.send(method, path, body, headers, most_bytes=_MOST_FILE_BYTES))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, for `patience_s`."""
        started, wait_s = time.monotonic(), min(_FIRST_WAIT_S, self._engine.poll_s)
        while True:
            try:
                return ask()
            except PassingError as failure:
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S, self._engine.poll_s)
                pause_s = max(wait_s, failure.wait_s or 0.0)
                if time.monotonic() + pause_s - started > self.patience_s:
                    raise NoReplyError(str(failure), failure.advice) from None
                time.sleep(pause_s)
