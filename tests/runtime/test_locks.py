"""One build at a time in a work folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.locks import exclusive, is_open_to_others


def test_a_folder_that_stays_empty_is_taken_away_and_another_stays(tmp_path: Path) -> None:
    with exclusive(tmp_path / "a" / "work"):
        assert (tmp_path / "a" / "work").is_dir()
    assert not (tmp_path / "a" / "work").exists()
    with exclusive(tmp_path / "work"):
        (tmp_path / "work" / "file").touch()
    assert (tmp_path / "work" / "file").exists()


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_a_folder_is_closed_to_other_users_and_those_above_it_are_as_usual(umask: int, tmp_path: Path) -> None:
    with exclusive(tmp_path / "above" / "work"):
        assert mode(tmp_path / "above" / "work") == 0o700
        assert mode(tmp_path / "above") == 0o777 & ~umask
        assert not is_open_to_others(tmp_path / "above" / "work")


@pytest.mark.parametrize(
    ("entries", "is_closed"),
    [
        ([], True),
        (["seeds-09be9ec5905990f8", "near-duplicates-3ba29456e7d5749f", "state.json", "log.jsonl"], True),
        (["recipe.json", "machines.json", ".state.json.17-17.tmp", ".workers-see-this-0f"], True),
        (["seeds-09be9ec5905990f8", "thesis.tex"], False),
        (["state.json", "data"], False),
    ],
)
def test_an_earlier_folder_is_closed_if_all_in_it_is_a_builds(
    entries: list[str], is_closed: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    folder.chmod(0o755)
    for name in entries:
        (folder / name).touch()
    with exclusive(folder):
        assert mode(folder) == (0o700 if is_closed else 0o755)
        assert is_open_to_others(folder) != is_closed


def test_a_second_build_is_told_to_wait(tmp_path: Path) -> None:
    with exclusive(tmp_path / "work"):
        with pytest.raises(RunError) as caught, exclusive(tmp_path / "work"):
            pytest.fail("two hold it")
        assert caught.value.message == f"another build is running in {tmp_path}/work"
        assert "--work-dir" in caught.value.advice
        assert (tmp_path / "work").is_dir()
        with exclusive(tmp_path / "other"):
            pass
    with exclusive(tmp_path / "work"):
        pass


def test_the_lock_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path / "work"):
        raise KeyError
    with exclusive(tmp_path / "work"):
        pass


def test_the_lock_ends_with_its_process_even_if_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from unicorn_hf.runtime.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "work")], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another build"), exclusive(tmp_path / "work"):
            pytest.fail("two hold it")
    finally:
        process.kill()
        process.wait()
    with exclusive(tmp_path / "work"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "work"):
        with pytest.raises(RunError) as caught, exclusive(path):
            pytest.fail("held")
        assert str(path) in caught.value.message
        assert "--work-dir" in caught.value.advice
