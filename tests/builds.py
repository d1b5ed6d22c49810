"""Small builds for tests: an echo recipe, and ways to run and to read one."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests import warm
from tests.runtime.dask_cluster import SHARED_WORKERS

SHARED = ["--cluster", str(SHARED_WORKERS)]
"""For who tests nothing of a build's own workers: it uses those that all tests share."""
REHEARSAL = ["--engine", "echo", "--encoder", "hashing:64"]
ECHO = [*REHEARSAL, *SHARED]


def write_seeds(path: Path, number: int = 300) -> Path:
    path.write_text("".join(f"a {kind} number {n} on a shelf\n" for n in range(number) for kind in ("jar",)))
    return path


def unicorn(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return warm.run([*map(str, arguments)], cwd=cwd, environment={**os.environ, **environment})


def start(*arguments: object, cwd: Path, **environment: str) -> "subprocess.Popen[str]":
    """The command in a process group of its own, as a terminal starts it.

    A test run in the background of a script has interrupts switched off, which its children would inherit.
    """
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, **environment},
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def command(*arguments: object) -> list[str]:
    return warm.cold([*map(str, arguments)])


def rows(folder: Path, config: str) -> list[dict[str, Any]]:
    return [row for table in tables(folder, config) for row in table.to_pylist()]


def tables(folder: Path, config: str) -> list[pa.Table]:
    return [pq.read_table(path) for path in sorted((folder / config).glob("*.parquet"))]


def published_bytes(folder: Path) -> dict[str, bytes]:
    """All that is published, by name, but for the time that a run took: `run.json`, and the card's part of it."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    del found["run.json"]
    found["README.md"] = re.sub(rb"\n## Time and cost\n.*?(?=\n## )", b"", found["README.md"], flags=re.DOTALL)
    return found
