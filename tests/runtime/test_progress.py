"""What a person sees: lines where there is no terminal, a bar where there is one."""

import io

import pytest

from unicorn_hf.runtime.progress import LiveProgress, PlainProgress, Progress


def tell(progress: Progress) -> None:
    progress.start("captions", 1200)
    progress.working(700)
    progress.known(600, 34)
    progress.note("a [bold]word[/bold] aside")
    progress.working(900)
    progress.known(1300, 41)
    progress.finish()


def test_lines_say_stage_rows_and_rejections(capsys: pytest.CaptureFixture[str]) -> None:
    tell(PlainProgress())
    out, err = capsys.readouterr()
    assert out == "", "what is read by machines stays clean"
    first, aside, last = err.splitlines()
    assert first.startswith("captions: ")
    assert "1,200" in first
    assert aside == "a [bold]word[/bold] aside"
    assert last.startswith("captions: 1,200 of 1,200")
    assert "41 rejected" in last
    assert last.endswith(" s")


def test_lines_do_not_come_for_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    progress.start("captions", 1000)
    for _ in range(1000):
        progress.working(1)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_long_stages_show_that_they_live(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("unicorn_hf.runtime.progress.time.monotonic", lambda: now)
    progress = PlainProgress()
    progress.start("captions", 1000)
    for _ in range(60):
        now += 1
        progress.working(3)
    lines = capsys.readouterr().err.splitlines()
    assert 4 <= len(lines) <= 7
    assert "33" in lines[1]


def test_figures_without_processed_rows_show_it_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("unicorn_hf.runtime.progress.time.monotonic", lambda: now)
    progress = PlainProgress()
    progress.start("questions", 3)
    for done in range(1, 4):
        now += 11
        progress.known(done, 0)
    progress.finish()
    assert capsys.readouterr().err.splitlines() == [
        "questions: 0 of 3 rows",
        "questions: 1 of 3 rows",
        "questions: 2 of 3 rows",
        "questions: 3 of 3 rows, 33.0 s",
    ]


def test_each_stage_is_counted_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    tell(progress)
    capsys.readouterr()
    progress.start("instructions", 10)
    progress.finish()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("instructions: 0 of 10")
    assert "rejected" not in last


def test_a_bar_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "150")
    with LiveProgress() as progress:
        tell(progress)
        progress.start("encoding", 10_000, "images")
        progress.known(24, 0)
        progress.finish()
    shown = screen.getvalue()
    assert "captions" in shown
    assert "1,200/1,200" in shown
    assert "41 rejected" in shown
    assert "24/24 " in shown.splitlines()[-1], "the total was a limit"
    assert "left" not in shown.splitlines()[-1]
    assert "a [bold]word[/bold] aside" in shown, "messages are no mark-up"


def test_nothing_is_said_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Progress())
    assert capsys.readouterr() == ("", "")
