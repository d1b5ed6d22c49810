"""The Hub of the tests as a fixture, and real clients that talk to it, each in a process of its own.

A process of its own, since huggingface_hub and datasets read HF_ENDPOINT, HF_TOKEN and the rest when they are imported.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import warm
from tests.hub.server import HubServer
from tests.warm import ROOT

Environment = Mapping[str, str | None]


class HubClient:
    """Runs Python, or `unicorn-hf`, as a user who has set up `hub`, with a home and a cache of its own."""

    def __init__(self, hub: HubServer, home: Path) -> None:
        self.hub = hub
        self.home = home

    def environment(self, changes: Environment | None = None) -> dict[str, str]:
        """The user's environment variables; a change to None takes one away."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        wanted: dict[str, str | None] = {
            **inherited,
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.hub.url,
            "HF_TOKEN": self.hub.token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            **(changes or {}),
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def start(self, code: str, *args: str, env: Environment | None = None) -> "subprocess.Popen[str]":
        """Python that runs `code` with `args` in sys.argv[1:], under way."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", code, *args]
        return subprocess.Popen(command, env=self.environment(env), cwd=self.home, text=True, stdout=pipe, stderr=pipe)

    def run(self, code: str, *args: str, env: Environment | None = None) -> "subprocess.CompletedProcess[str]":
        """The same, to its end, in a process that has the libraries loaded already."""
        return warm.run(["-c", code, *args], cwd=self.home, environment=self.environment(env))

    def command(self, *args: str, env: Environment | None = None) -> "subprocess.CompletedProcess[str]":
        """`unicorn-hf` with `args`, in the user's home, to its end."""
        return warm.run([*args], cwd=self.home, environment=self.environment(env))


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer().running() as server:
        yield server


@pytest.fixture
def hub_client(hub: HubServer, tmp_path: Path) -> HubClient:
    home = tmp_path / "home"
    home.mkdir()
    return HubClient(hub, home)
