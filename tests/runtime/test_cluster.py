"""Worker processes: which jobs run at once, and whose engine they get."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.runtime.cluster import open_pool
from unicorn_hf.runtime.launch import Place
from unicorn_hf.runtime.steps import Record
from unicorn_hf.runtime.work import Work

PATIENCE_S = 240


@dataclass(frozen=True)
class Meeting:
    """A job that stays until so many have come, and says how many it has seen there at once."""

    folder: Path
    name: int
    wanted: int

    label = "a job"
    overlap = True

    def find(self) -> Record | None:
        return None

    def run(self, work: Work) -> Record:
        (self.folder / str(self.name)).touch()
        with work.waiting() if self.wanted > 1 else nullcontext():
            present = self._present()
        return Record(inputs=str(self.name), num_bytes={"present": present})

    def _present(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while len(list(self.folder.iterdir())) < self.wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        present = len(list(self.folder.iterdir()))
        if self.wanted == 1:
            time.sleep(0.1)
            present = len(list(self.folder.iterdir()))
            (self.folder / str(self.name)).unlink()
        return present


def meetings(folder: Path, number: int, wanted: int) -> list[Meeting]:
    folder.mkdir()
    return [Meeting(folder, name, wanted) for name in range(number)]


def test_jobs_wait_at_once_in_one_worker_and_compute_alone(tmp_path: Path) -> None:
    came: list[Record] = []
    with open_pool(Place(1), lambda num_threads: {}, lambda event: None, jobs_at_once=3) as pool:
        together = pool.run(meetings(tmp_path / "together", 3, 3), came.append)
        alone = pool.run(meetings(tmp_path / "alone", 4, 1), came.append)
    assert [record.inputs for record in together + alone] == ["0", "1", "2", "0", "1", "2", "3"]
    assert [record.num_bytes["present"] for record in together] == [3, 3, 3]
    assert [record.num_bytes["present"] for record in alone] == [1, 1, 1, 1]
    assert len(came) == 7
