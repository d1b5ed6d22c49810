"""Commands and scripts as processes that have nothing left to import.

Imports are most of what a short command does. So a server (`tests.warm_server`) does them once for all tests of a
process, and each command is a fork of it, with arguments, folder, environment and output of its own. Libraries of
Hugging Face are not imported before: they read the environment when they are.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.runtime.dask_cluster import SHARED_WORKERS, share_workers

ROOT = Path(__file__).resolve().parents[1]

_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "MPL", "OMP_", "DASK_")
"""Variables that the interpreter and what is imported have read. `PYTHONPATH` is compared with ROOT's added."""


def run(
    arguments: list[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout_s: float = 300,
    python: str = sys.executable,
    imports: str = "command",
) -> "subprocess.CompletedProcess[str]":
    """Run `unicorn-hf ARGUMENTS`, or Python where the first argument is `-c`, to its end.

    Args:
        arguments: of the command.
        cwd: its folder.
        environment: all of its variables.
        timeout_s: after which it is ended.
        python: the interpreter.
        imports: what is imported before: what a `command` imports, `datasets`, or who trains with `torch`.

    Raises:
        subprocess.TimeoutExpired: it does not end.
    """
    _share_workers(arguments)
    settings = _settings(environment)
    kind = (python, imports, tuple(sorted(settings.items())))
    _num_uses[kind] += 1
    # A server is worth its start from the second use on.
    if settings != _settings(os.environ) and _num_uses[kind] == 1:
        line = cold(arguments, python)
        return subprocess.run(line, cwd=cwd, env=dict(environment), capture_output=True, text=True, timeout=timeout_s)
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        place = {"cwd": str(cwd), "stdout": str(out), "stderr": str(err)}
        request = {"arguments": arguments, "environment": dict(environment), **place}
        code = _server(*kind).ask(request, timeout_s)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def cold(arguments: list[str], python: str = sys.executable) -> list[str]:
    """The same as a command line."""
    _share_workers(arguments)
    if arguments[:1] == ["-c"]:
        return [python, *arguments]
    script = Path(sys.executable).with_name("unicorn-hf")
    # Without an installation the checkout is on PYTHONPATH.
    return [*([str(script)] if script.exists() else [python, "-m", "unicorn_hf"]), *arguments]


def _share_workers(arguments: list[str]) -> None:
    if str(SHARED_WORKERS) in arguments:
        share_workers()


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if name.startswith(_READ_AT_THE_START)}
    path = [part for part in found.pop("PYTHONPATH", "").split(os.pathsep) if part not in ("", str(ROOT))]
    return found | {"PYTHONPATH": os.pathsep.join(path)}


_num_uses = Counter[tuple[str, str, tuple[tuple[str, str], ...]]]()


class _Server:
    def __init__(self, python: str, imports: str, settings: Mapping[str, str]) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith(_READ_AT_THE_START)}
        # In a group of its own, so that it and the command that does not end can be ended.
        self._process = subprocess.Popen(
            [python, "-m", "tests.warm_server", imports], cwd=ROOT, env=others | settings,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip
        atexit.register(self.close)

    def ask(self, request: dict[str, Any], timeout_s: float) -> int:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            self.close()
            _server.cache_clear()
            raise subprocess.TimeoutExpired(request["arguments"], timeout_s)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()


@cache
def _server(python: str, imports: str, settings: tuple[tuple[str, str], ...]) -> _Server:
    return _Server(python, imports, dict(settings))
