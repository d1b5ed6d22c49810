"""What a build tells of itself in its work folder."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import journal
from unicorn_hf.runtime.journal import LOG, STATE, BuildState, Journal
from unicorn_hf.runtime.progress import Progress


def journal_of(folder: Path) -> Journal:
    return Journal(folder, Progress(), recipe="mine", out=folder / "out")


def state(folder: Path) -> BuildState:
    return BuildState.model_validate_json((folder / STATE).read_bytes())


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_nothing_is_written_before_there_is_something_to_tell(tmp_path: Path) -> None:
    with pytest.raises(RunError), journal_of(tmp_path) as told:
        told.note("starting")
        raise RunError("no disk")
    assert list(tmp_path.iterdir()) == []


def test_stages_are_told_while_they_run_and_when_they_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "EVERY_S", 0.01)
    with journal_of(tmp_path) as told:
        told.start("captions", 10)
        told.event({"event": "workers", "workers": 3})
        told.event({"event": "dashboard", "link": "http://127.0.0.1:8787/status"})
        told.event({"event": "rows", "rows": 4})
        told.known(3, 1)
        deadline = time.monotonic() + 30
        while state(tmp_path).stages[0].kept != 3:
            assert time.monotonic() < deadline
        running = state(tmp_path)
        told.known(10, 2)
        told.finish()
        told.start("packaging", 20, unit="files")
    assert (running.state, running.workers, running.stages[0].worked) == ("running", 3, 4)
    done = state(tmp_path)
    assert done.state == "done"
    assert [(stage.name, stage.kept, stage.rejected, stage.finished) for stage in done.stages] == [
        ("captions", 10, 2, True),
        ("packaging", 0, 0, False),
    ]
    assert [line["event"] for line in log(tmp_path)] == [
        "started", "stage_started", "workers", "dashboard", "stage_finished", "stage_started", "done",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "ended", "said"),
    [
        (RunError("the disk is full", "Make room."), "failed", "the disk is full"),
        (ValueError("hf_secret"), "failed", "ValueError"),
        (KeyboardInterrupt(), "stopped", ""),
    ],
)
def test_how_it_ended_is_told_without_words_that_nobody_has_read(
    tmp_path: Path, error: BaseException, ended: str, said: str
) -> None:
    with pytest.raises(type(error)), journal_of(tmp_path) as told:
        told.start("captions", 10)
        raise error
    assert (state(tmp_path).state, state(tmp_path).error) == (ended, said)
    assert "hf_secret" not in (tmp_path / LOG).read_text()


def test_a_later_run_goes_on_with_the_log(tmp_path: Path) -> None:
    for _ in range(2):
        with journal_of(tmp_path) as told:
            told.start("captions", 10)
    assert [line["event"] for line in log(tmp_path)] == ["started", "stage_started", "done"] * 2
    assert len(state(tmp_path).stages) == 1


def test_a_full_disk_does_not_end_a_build(tmp_path: Path) -> None:
    with journal_of(tmp_path / "gone") as told:
        (tmp_path / "gone").write_text("a file where the folder should be")
        told.start("captions", 10)
        told.finish()
