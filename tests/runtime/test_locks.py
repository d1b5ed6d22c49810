"""One build at a time in a work folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.locks import exclusive


def test_a_folder_that_stays_empty_is_taken_away_and_another_stays(tmp_path: Path) -> None:
    with exclusive(tmp_path / "a" / "work"):
        assert (tmp_path / "a" / "work").is_dir()
    assert not (tmp_path / "a" / "work").exists()
    with exclusive(tmp_path / "work"):
        (tmp_path / "work" / "file").touch()
    assert (tmp_path / "work" / "file").exists()


def test_a_second_build_is_told_to_wait(tmp_path: Path) -> None:
    with exclusive(tmp_path / "work"):
        with pytest.raises(RunError) as caught, exclusive(tmp_path / "work"):
            pytest.fail("two hold it")
        assert caught.value.message == f"another build is at work in {tmp_path}/work"
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
