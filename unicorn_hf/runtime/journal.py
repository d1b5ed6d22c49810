"""A build's state, for `unicorn-hf status`, and its event log; both in the work folder."""

import json
import os
import platform
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel

from unicorn_hf.core.errors import UnicornError, WaitingError
from unicorn_hf.runtime.files import write_json, write_text
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.storage import errors, is_remote, put_every_s

STATE = "state.json"
LOG = "log.jsonl"
EVERY_S = 2.0


def interval_s(folder: Path) -> float:
    """Interval at which a running build writes its state: longer where the storage limits requests."""
    return max(EVERY_S, put_every_s(folder))


class StageState(BaseModel):
    """The progress of a stage."""

    name: str
    unit: str = "rows"
    total: int
    kept: int = 0
    rejected: int = 0
    worked: int = 0
    """Rows that this run's workers processed, kept or not."""
    num_found: int = 0
    """Stored answers that this run used."""
    num_asked: int = 0
    """Requests that this run sent."""
    seconds: float = 0.0
    """Time since the stage began in this run."""
    finished: bool = False


class BuildState(BaseModel):
    """The state of a build at `updated`."""

    recipe: str
    out: str
    answers: str = ""
    """Location of the engine's stored answers; empty if the build uses no engine."""
    state: Literal["running", "waiting", "done", "failed", "stopped"]
    error: str = ""
    host: str
    pid: int
    started: datetime
    updated: datetime
    workers: int = 0
    dashboard: str = ""
    """URL of Dask's dashboard."""
    stages: list[StageState] = []


class Journal(Progress):
    """Forwards each call, and records it in the folder.

    It writes nothing before the first stage begins. Times of day come from this machine's clock, durations from the
    monotonic one.
    """

    def __init__(self, folder: Path, told: Progress, *, recipe: str, out: Path, answers: Path | None = None) -> None:
        self._folder = folder
        self._told = told
        now = datetime.now(UTC)
        self._state = BuildState(
            recipe=recipe,
            out=str(out),
            answers=str(answers or ""),
            state="running",
            host=platform.node(),
            pid=os.getpid(),
            started=now,
            updated=now,
        )
        self._lines = self._written = ""
        self._earlier: str | None = None
        self._stage_began = 0.0
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._beats: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._beats is None:
            return
        self._ended.set()
        self._beats.join()
        if isinstance(error, WaitingError):
            self._state.state = "waiting"
            self._log("waiting", message=error.message)
        elif isinstance(error, Exception):
            # Only the type of other errors: their text may hold anything, secrets too.
            self._state.error = error.message if isinstance(error, UnicornError) else type(error).__name__
            self._state.state = "failed"
            self._log("failed", error=self._state.error)
        else:
            self._state.state = "stopped" if error else "done"
            self._log(self._state.state)
        self._write()

    def start(self, stage: str, total: int, unit: str = "rows") -> None:
        self._told.start(stage, total, unit)
        with self._changing:
            self._stage_began = time.monotonic()
            self._state.stages.append(StageState(name=stage, total=total, unit=unit))
        if self._beats is None:
            self._log("started", recipe=self._state.recipe, pid=self._state.pid, host=self._state.host)
            self._beats = threading.Thread(target=self._beat, name="journal", daemon=True)
            self._beats.start()
        self._log("stage_started", stage=stage, total=total, unit=unit)
        self._write()

    def working(self, rows: int) -> None:
        self._told.working(rows)
        with self._changing:
            self._state.stages[-1].worked += rows

    def known(self, kept: int, rejected: int) -> None:
        self._told.known(kept, rejected)
        with self._changing:
            self._state.stages[-1].kept, self._state.stages[-1].rejected = kept, rejected

    def note(self, message: str) -> None:
        self._told.note(message)
        if self._beats is not None:
            self._log("note", message=message)

    def finish(self) -> None:
        self._told.finish()
        with self._changing:
            stage = self._state.stages[-1]
            stage.finished, stage.seconds = True, time.monotonic() - self._stage_began
        self._log("stage_finished", **stage.model_dump(include={"name", "kept", "rejected", "seconds"}))
        self._write()

    def event(self, event: Mapping[str, Any]) -> None:
        """Record an event of the pool or a worker; see `runtime.cluster.open_pool`."""
        match event["event"]:
            case "rows":
                self.working(event["rows"])
                return
            case "answers":
                with self._changing:
                    self._state.stages[-1].num_found += event["found"]
                    self._state.stages[-1].num_asked += event["asked"]
                return
            case "workers":
                with self._changing:
                    self._state.workers = event["workers"]
            case "dashboard":
                with self._changing:
                    self._state.dashboard = event["link"]
        self._log(**event)

    def _beat(self) -> None:
        while not self._ended.wait(interval_s(self._folder)):
            self._write()

    def _write(self) -> None:
        with self._changing:
            self._state.updated = datetime.now(UTC)
            stage = self._state.stages[-1]
            if not stage.finished:
                stage.seconds = time.monotonic() - self._stage_began
            with suppress(OSError, *errors()):
                # The stage that hits a full disk reports it: the journal's error must not hide that one.
                write_json(self._folder / STATE, self._state.model_dump(mode="json"))
                self._write_log()

    def _log(self, event: str, **facts: object) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(), "event": event, **facts}, ensure_ascii=False)
        with self._changing:
            self._lines += f"{line}\n"
            if not is_remote(self._folder):
                with suppress(OSError):
                    self._write_log()

    def _write_log(self) -> None:
        """The caller holds the lock."""
        path = self._folder / LOG
        if not is_remote(path):
            with path.open("a", encoding="utf-8") as file:
                file.write(self._lines)
            self._lines = ""
            return
        # An object cannot be appended to: rewrite it, with the lines of earlier runs.
        if self._earlier is None:
            self._earlier = path.read_text(encoding="utf-8") if path.exists() else ""
        if self._lines != self._written:
            write_text(path, self._earlier + self._lines)
            self._written = self._lines
