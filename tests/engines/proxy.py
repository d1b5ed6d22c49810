"""A proxy on loopback that takes what proxies take: plain HTTP, CONNECT, and SOCKS5 without a password."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer


class LoopbackProxy(ThreadingTCPServer):
    """Keeps the head of each request for a way through it in `asked`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["LoopbackProxy"]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()


class _Handler(BaseRequestHandler):
    server: LoopbackProxy
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError):
            if self.request.recv(1, socket.MSG_PEEK) == b"\x05":
                self._socks()
            else:
                self._http()

    def _http(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.request.recv(65536)
        head, _, rest = received.partition(b"\r\n\r\n")
        self.server.asked.append(head.decode())
        if match := re.match(rb"CONNECT ([\w.]+):(\d+) ", head):
            with socket.create_connection((match[1].decode(), int(match[2]))) as there:
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                self._pass_on(there)
            return
        match = re.match(rb"(\w+) http://([\w.]+):(\d+)(/\S*) (.*)", head, re.DOTALL)
        assert match
        with socket.create_connection((match[2].decode(), int(match[3]))) as there:
            # One request for a connection: the next one names another place, perhaps.
            there.sendall(b"%s %s %s\r\nConnection: close\r\n\r\n%s" % (match[1], match[4], match[5], rest))
            self._pass_on(there)

    def _socks(self) -> None:
        num_methods = self.request.recv(2)[1]
        self.request.recv(num_methods)
        self.request.sendall(b"\x05\x00")
        kind = self.request.recv(4)[3]
        address = socket.inet_ntoa(self.request.recv(4)) if kind == 1 else self.request.recv(self.request.recv(1)[0])
        host = address if isinstance(address, str) else address.decode()
        port = int.from_bytes(self.request.recv(2))
        self.server.asked.append(f"SOCKS5 {host}:{port}")
        with socket.create_connection((host, port)) as there:
            self.request.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            self._pass_on(there)

    def _pass_on(self, there: socket.socket) -> None:
        back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
        back.start()
        _copy(self.request, there)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
