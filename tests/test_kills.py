"""Every process of a build is killed at once, again and again: what was answered is not asked for again.

`make soak` kills twenty times; a usual run a few times.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.builds import SHARED, rows, start, unicorn, write_seeds
from tests.engines.chat_server import Body, ChatServer, Reply
from unicorn_hf.runtime.answers.journal import PUT_S

pytestmark = pytest.mark.slow

NUM_KILLS = int(os.environ.get("SOAK_KILLS", "2"))
CONCURRENCY, LATENCY_S = 128, 0.3
ROWS = 400 * (NUM_KILLS + 1)
MOST_A_RUN = 150
"""Answers of a run when its end is decided; some hundreds come until all processes are dead."""


class Bought:
    """A server that knows when it answered what."""

    def __init__(self, server: ChatServer) -> None:
        self.answered: dict[str, float] = {}
        """When, by the request."""
        self.num_again = 0
        self._lock = threading.Lock()
        server.slow_s = LATENCY_S
        server.script = self._note
        self._server = server

    def _note(self, body: Body, time_: int) -> Reply | None:
        with self._lock:
            key = json.dumps(body, sort_keys=True)
            self.num_again += key in self.answered
            self.answered[key] = time.monotonic()
        return None

    def recent(self, seconds: float) -> int:
        """Requests that are in flight, or were answered so many seconds ago at most."""
        now = time.monotonic()
        with self._lock:
            answered = sum(now - at <= seconds for at in self.answered.values())
            return answered + len(self._server.bodies) - len(self.answered) - self.num_again


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer().running() as server:
        yield server


def arguments(folder: Path, server: ChatServer) -> list[object]:
    recipe = folder / "small.yaml"
    recipe.write_text(
        "partition_rows: 100\nengine:\n"
        f"  {{kind: endpoint, base_url: '{server.url}', model: m, concurrency: {CONCURRENCY}}}\n"
        f"seeds: {{sources: [{{path: seeds.txt, kind: file}}]}}\ncaptions: {{num: {ROWS}}}\ninstructions: {{num: 60}}\n"
        "representations: {encoder: 'hashing:16'}\ncluster: {workers: 2}\n"
    )
    write_seeds(folder / "seeds.txt", ROWS + 50)
    return ["build", recipe]


def kill_all(pid: int) -> None:
    command = psutil.Process(pid)
    for process in (command, *command.children(recursive=True)):
        process.send_signal(signal.SIGSTOP)  # So that none sees another one go.
    for process in (*command.children(recursive=True), command):
        process.kill()


def check(server: ChatServer, folder: Path, num_kills: int, window_s: float, *options: object) -> None:
    bought, rng = Bought(server), random.Random(5)
    command = [*arguments(folder, server), *options]
    allowed = 0
    for kill in range(num_kills):
        process = start(*command, cwd=folder)
        wanted = len(bought.answered) + rng.randint(50, MOST_A_RUN)
        deadline = time.monotonic() + 120
        while len(bought.answered) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.poll() is None, f"the build ended before it could be killed for the {kill + 1}th time"
        kill_all(process.pid)
        # What was asked again, a run before this one had in flight or had just got.
        assert bought.num_again <= allowed
        allowed += bought.recent(window_s)
        process.communicate()
        time.sleep(2 * LATENCY_S)  # The server answers what nobody waits for any more.
    done = unicorn(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert bought.num_again <= allowed
    undisturbed = folder / "undisturbed"
    done = unicorn(*command[:2], *SHARED, "--workers", 1, "--out", undisturbed, cwd=folder)
    assert done.returncode == 0, done.stderr
    for config in ("pretrain", "instruction"):
        assert rows(folder / "unicorn", config) == rows(undisturbed, config)


def test_what_was_answered_is_not_asked_again(server: ChatServer, tmp_path: Path) -> None:
    check(server, tmp_path, NUM_KILLS, 1.0)


def test_on_object_storage_nor_what_was_answered_some_seconds_before(
    s3: str, server: ChatServer, tmp_path: Path
) -> None:
    # What came while an object was written waits for the next one.
    check(server, tmp_path, min(NUM_KILLS, 5), 2 * PUT_S, "--work-dir", s3)
