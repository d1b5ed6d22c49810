"""Commands and scripts as processes that have nothing left to import.

Imports are most of what a short command does. So a server does them once for all tests of a process, and each command
is a fork of it, with arguments, folder, environment and output of its own. Libraries of Hugging Face are not imported
before: they read the environment when they are.
"""

import atexit
import gc
import importlib
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.runtime.dask_cluster import SHARED_WORKERS, share_workers

ROOT = Path(__file__).resolve().parents[1]

_PUBLISHED = Path(__file__).parent / "golden" / "published"
_IMPORTED = (
    "unicorn_hf.pipeline", "unicorn_hf.views.report", "distributed", "matplotlib.figure", "pandas", "pyarrow.dataset",
    "pyarrow.compute", "fsspec", "multiprocess", "dill", "httpx2", "tqdm.auto",
)  # fmt: skip
_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "MPL", "OMP_", "DASK_")
"""Variables that the interpreter and what is imported have read. `PYTHONPATH` is compared with ROOT's added."""


def run(
    arguments: list[str], *, cwd: Path, environment: Mapping[str, str], timeout_s: float = 300
) -> "subprocess.CompletedProcess[str]":
    """Run `unicorn-hf ARGUMENTS`, or Python where the first argument is `-c`, to its end.

    Raises:
        subprocess.TimeoutExpired: it does not end.
    """
    if _settings(environment) != _settings(os.environ):
        return subprocess.run(
            cold(arguments), cwd=cwd, env=dict(environment), capture_output=True, text=True, timeout=timeout_s
        )
    _share_workers(arguments)
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        place = {"cwd": str(cwd), "stdout": str(out), "stderr": str(err)}
        code = _server().ask({"arguments": arguments, "environment": dict(environment), **place}, timeout_s)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def cold(arguments: list[str]) -> list[str]:
    """The same as a command line."""
    _share_workers(arguments)
    if arguments[:1] == ["-c"]:
        return [sys.executable, *arguments]
    return [str(Path(sys.executable).with_name("unicorn-hf")), *arguments]


def _share_workers(arguments: list[str]) -> None:
    if str(SHARED_WORKERS) in arguments:
        share_workers()


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if name.startswith(_READ_AT_THE_START)}
    path = [part for part in found.pop("PYTHONPATH", "").split(os.pathsep) if part not in ("", str(ROOT))]
    return found | {"PYTHONPATH": os.pathsep.join(path)}


class _Server:
    def __init__(self) -> None:
        # In a group of its own, so that it and the command that does not end can be ended.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
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
def _server() -> _Server:
    return _Server()


# -- in the server -----------------------------------------------------------------------------------------------------


def _warm_up() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    from click.testing import CliRunner

    from unicorn_hf.cli import main

    with tempfile.TemporaryDirectory() as folder:
        made = shutil.copytree(max(_PUBLISHED.iterdir()), Path(folder, "set"))
        done = CliRunner().invoke(main, ["card", str(made)])
        assert done.exit_code == 0, done.output
    # Nothing of ours keeps it: it is imported where it is used.
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]
    assert "datasets" not in sys.modules
    gc.freeze()


def _serve() -> dict[str, Any]:
    """Answers requests, until the process is a fork that is to do one."""
    for line in sys.stdin:
        if not (child := os.fork()):
            request: dict[str, Any] = json.loads(line)
            return request
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - to who asks
    sys.exit()


def _do(request: dict[str, Any]) -> None:
    for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0)  # noqa: SIM115 - what the server has read ahead is not the command's
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    random.seed()
    arguments = request["arguments"]
    module = ModuleType("__main__")
    # Worker processes import the main module of who starts them, where it has a file.
    sys.modules["__main__"] = module
    if arguments[:1] == ["-c"]:
        sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
        exec(arguments[1], module.__dict__)
    else:
        from unicorn_hf.cli import main

        sys.argv = ["unicorn-hf", *arguments]
        main()


if __name__ == "__main__":
    _warm_up()
    _do(_serve())
