"""A server with OpenAI's chat completions on loopback: it answers as `echo` does, and fails in every way on demand."""

import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.stages import answers_of
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines.generators.echo import EchoGenerator

Body = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What is sent instead of an answer: `content` as it is, or nothing and the connection is cut."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cuts: bool = False
    after_s: float = 0.0

    @classmethod
    def json(cls, value: object, status: int = 200, **headers: str) -> "Reply":
        return cls(
            status, json.dumps(value).encode(), {name.replace("_", "-"): value for name, value in headers.items()}
        )


Script = Callable[[Body, int], Reply | None]
"""The reply to a request, the how-many-eth of its like it is; None for a true answer."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Serve in a thread, and close the server at the end."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class ChatServer:
    """Keeps what it was asked: `bodies` in order, the `headers` of each, how many at once at most, and connections."""

    def __init__(self) -> None:
        self.script: Script = lambda body, time: None
        self.models = Reply.json({"object": "list", "data": []})
        self.bodies: list[Body] = []
        self.headers: list[Mapping[str, str]] = []
        self.most_at_once = 0
        self.num_connections = 0
        self.num_asked_for_models = 0
        self.slow_s = 0.0
        self._scheme = "http"
        self._at_once = 0
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())

    def speak_tls(self, certificate: Path, key: Path) -> None:
        """Before it runs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator["ChatServer"]:
        with serving(self._server):
            yield self

    def reply(self, body: Body, headers: Mapping[str, str]) -> Reply:
        with self._lock:
            self.bodies.append(body)
            self.headers.append(headers)
            like = json.dumps(body, sort_keys=True)
            self._times[like] += 1
            number = self._times[like]
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(self.slow_s)
            reply = self.script(body, number) or Reply.json(completion(body))
            time.sleep(reply.after_s)
            return reply
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with server._lock:
                    server.num_connections += 1

            def do_GET(self) -> None:
                server.num_asked_for_models += 1
                self._send(server.models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if self.path != "/v1/chat/completions":
                    self._send(Reply.json({"detail": "Not Found"}, 404))
                else:
                    self._send(server.reply(body, headers))

            def _send(self, reply: Reply) -> None:
                if reply.cuts:
                    # Closed with what was sent still on its way: the other side sees a reset.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"content-length": str(len(reply.content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.content)

            def log_message(self, format: str, *args: object) -> None: ...

        return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # A client that left is none of the server's business.
            super().handle_error(request, client_address)


def subject(body: Body) -> str:
    """What the request is about: the end of its last message."""
    content: str = body["messages"][-1]["content"]
    return content


def completion(body: Body, **changes: object) -> Body:
    """A chat completion as servers send it."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    request = Request(
        id=fingerprint(body),
        subject=subject(body),
        messages=tuple(Message(**message) for message in body["messages"]),
        sampling=Sampling(),
        seed=body.get("seed", 0),
        json_schema=json.dumps(schema) if schema else None,
    )
    (answer,) = answers_of(EchoGenerator(), [request])
    choice = {"index": 0, "message": {"role": "assistant", "content": answer.text}, "finish_reason": "stop"} | changes
    tokens = {"prompt_tokens": answer.num_prompt_tokens, "completion_tokens": answer.num_output_tokens}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": tokens,
    }
