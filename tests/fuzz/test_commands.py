"""No command on a file of others ends in a traceback, nor prints what a terminal would obey."""

import os
import shutil
from pathlib import Path

import pytest

from tests.fuzz.cases import FaultError
from tests.fuzz.commands import COMMANDS, run

NUM = int(os.environ.get("FUZZ_COMMANDS", 70))
_EVERY = 5
"""One of so many runs as a user runs it, unless it starts workers; the others in this process."""


@pytest.mark.parametrize("at", range(len(COMMANDS)), ids=[command.name for command in COMMANDS])
def test_it_ends_well_or_says_why(at: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = []
    for number in range(at, NUM, len(COMMANDS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            apart = number % _EVERY == 0 and not COMMANDS[at].starts_workers
            run(COMMANDS[at], number, corpus, folder, in_a_process=apart)
        except FaultError as fault:
            faults.append(f"{folder}: unicorn-hf {' '.join(COMMANDS[at].arguments)}: {fault}")
        else:
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(folder)
    assert not faults, "\n".join(faults)
