"""No file of others ends in a traceback: success or one clear message, nothing half-written, nothing elsewhere."""

import os
import shutil
from pathlib import Path

import pytest

from tests.fuzz.cases import INPUTS, PAPERS, FaultError, Kind, numbers, run

pytestmark = pytest.mark.slow

NUM_PAPERS = int(os.environ.get("FUZZ_PAPERS", 500))
NUM_INPUTS = int(os.environ.get("FUZZ_INPUTS", 500))
ONE = os.environ.get("FUZZ_CASE", "")
"""The name of the one case to run."""
_ALL = {
    kind.name: (kinds, total, kind) for kinds, total in ((PAPERS, NUM_PAPERS), (INPUTS, NUM_INPUTS)) for kind in kinds
}


def _chosen(name: str) -> list[int]:
    kinds, total, kind = _ALL[name]
    if not ONE:
        return list(numbers(kinds, total, kind))
    wanted, _, number = ONE.rpartition("-")
    return [int(number)] if wanted == name else []


@pytest.mark.parametrize("name", [name for name in _ALL if _chosen(name)])
def test_it_is_read_or_refused(name: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Kind = _ALL[name][2]
    faults: dict[str, list[str]] = {}
    for number in _chosen(name):
        folder = tmp_path / f"{name}-{number}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            run(kind, number, corpus, folder)
        except FaultError as fault:
            faults.setdefault(str(fault), []).append(folder.name)
        else:
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(folder)
    told = [f"{', '.join(cases[:5])} ({len(cases)}): {fault}" for fault, cases in faults.items()]
    assert not faults, "\n".join([*told, f"One of them again: make fuzz CASE=NAME. Its files: {tmp_path}/NAME"])
