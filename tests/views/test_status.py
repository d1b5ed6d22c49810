"""Where a build is, seen from outside."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.builds import ECHO, start, write_seeds
from unicorn_hf.cli import main
from unicorn_hf.core.errors import InputError
from unicorn_hf.runtime import journal
from unicorn_hf.runtime.files import write_text
from unicorn_hf.runtime.journal import STATE, BuildState, StageState
from unicorn_hf.views import status as view
from unicorn_hf.views.status import status

PATIENCE_S = 120


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def write_state(folder: Path, **changes: object) -> Path:
    stages = [
        StageState(name="captions", total=100, kept=100, rejected=7, seconds=50, finished=True),
        StageState(name="instructions", total=60, kept=20, rejected=5, worked=35, seconds=10),
    ]
    state = BuildState(
        recipe="mine", out=str(folder / "unicorn"), state="running", host="node-1", pid=1, started=ago(), updated=ago(),
        workers=8, stages=stages,
    )  # fmt: skip
    work = folder / "unicorn.work"
    work.mkdir()
    (work / STATE).write_text(state.model_copy(update=changes).model_dump_json())
    return folder / "unicorn"


def test_rate_and_time_left_are_those_of_the_stage_at_work(tmp_path: Path) -> None:
    found = status(write_state(tmp_path))
    assert found.is_alive
    assert found.rows_per_s == pytest.approx(3.0)
    assert found.left_s == pytest.approx(10.0)
    assert status(tmp_path / "unicorn.work").build == found.build


def test_a_silent_build_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "EVERY_S", 0.05)
    folder = write_state(tmp_path, updated=ago(minutes=5))
    shown = CliRunner().invoke(main, ["status", str(folder)]).output
    assert not status(folder).is_alive
    assert "lost: silent for 5.0 min" in shown
    assert "run the same command to resume" in shown


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_build_that_writes_is_alive_whatever_its_clock_says(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "EVERY_S", 0.2)
    folder = write_state(tmp_path, updated=ago(hours=hours))
    state = tmp_path / "unicorn.work" / STATE
    dead = status(folder)
    assert not dead.is_alive
    assert dead.silent_s >= 0
    assert "-1 day" not in "".join(view._lines(dead))

    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.wait(0.02):
            number += 1
            written = BuildState.model_validate_json(state.read_bytes())
            write_text(
                state, written.model_copy(update={"updated": ago(hours=hours, seconds=-number)}).model_dump_json()
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert status(folder).is_alive
    finally:
        ended.set()
        writer.join()


def test_no_build_and_a_damaged_state_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no build has run in"):
        status(tmp_path / "unicorn")
    folder = write_state(tmp_path)
    (tmp_path / "unicorn.work" / STATE).write_text("{")
    result = CliRunner().invoke(main, ["status", str(folder)])
    assert (result.exit_code, "from another version, or damaged" in result.output) == (2, True)


def test_text_of_a_recipe_is_shown_as_text(tmp_path: Path) -> None:
    folder = write_state(tmp_path, recipe="[red]\x1b[31mmine", error="\x1b]0;title\x07", state="failed")
    shown = CliRunner().invoke(main, ["status", str(folder)]).output
    assert "\x1b" not in shown
    assert "[red]" in shown


def test_a_build_is_watched_from_outside_until_it_is_stopped(tmp_path: Path) -> None:
    seeds = write_seeds(tmp_path / "seeds.txt")
    large = ["--captions", 200_000, "--instructions", 9, "--workers", 1]
    with start("build", "--seeds", seeds, *ECHO, *large, cwd=tmp_path) as build:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not (tmp_path / "unicorn.work" / STATE).exists() or not status(tmp_path / "unicorn").rows_per_s:
                assert build.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            running = status(tmp_path / "unicorn")
            as_json = json.loads(CliRunner().invoke(main, ["status", str(tmp_path / "unicorn"), "--json"]).output)
        finally:
            os.kill(build.pid, signal.SIGINT)
            build.communicate(timeout=PATIENCE_S)
    assert running.is_alive
    assert (running.build.pid, running.build.workers) == (build.pid, 1)
    assert running.left_s
    assert as_json["build"]["pid"] == build.pid
    assert status(tmp_path / "unicorn").build.state == "stopped"
    watched = CliRunner().invoke(main, ["status", str(tmp_path / "unicorn"), "--watch"])
    assert "stopped at" in watched.output
