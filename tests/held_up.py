"""A build that is stopped in the middle, to look at what it has open."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.builds import start, write_seeds
from tests.engines.chat_server import Body, ChatServer, Reply

NUM_WORKERS = 2
_PATIENCE_S = 120


@dataclass
class HeldUp:
    """A build; its output is there when it has ended."""

    process: "subprocess.Popen[str]"
    output: str = ""


@contextmanager
def held_up(folder: Path, *arguments: object, **environment: str) -> Iterator[HeldUp]:
    """A build in `folder` whose workers are at work, and stay so until the block ends; then it ends well."""
    go_on, asked = threading.Event(), threading.Event()

    def hold(body: Body, time: int) -> Reply | None:
        asked.set()
        go_on.wait(_PATIENCE_S)
        return None

    server = ChatServer()
    server.script = hold
    write_seeds(folder / "seeds.txt", 60)
    command = [
        "build", "demo", "--seeds", "seeds.txt", "--captions", 40, "--instructions", 0, "--encoder", "hashing:16",
        "--base-url", server.url, "--llm", "any", "--workers", NUM_WORKERS, *arguments,
    ]  # fmt: skip
    with server.running():
        build = HeldUp(start(*command, cwd=folder, **environment))
        try:
            while not asked.wait(0.1):
                assert build.process.poll() is None, build.process.communicate()
            yield build
            go_on.set()
            build.output = "".join(build.process.communicate(timeout=_PATIENCE_S))
            assert build.process.returncode == 0, build.output
            assert "Traceback" not in build.output, build.output
        finally:
            go_on.set()
            build.process.kill()
