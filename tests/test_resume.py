"""Kills and interruptions: the same command goes on, and ends with the same data set."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builds import SHARED, published_bytes, start, unicorn, write_seeds

pytestmark = pytest.mark.slow


def arguments(folder: Path) -> list[object]:
    recipe = folder / "small_partitions.yaml"
    recipe.write_text(
        "partition_rows: 25\nseeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        "captions: {num: 800, max_attempts_per_caption: 4}\ninstructions: {num: 300}\n"
        "representations: {encoder: 'hashing:64'}\ncluster: {workers: 2}\n"
    )
    write_seeds(folder / "seeds.txt", 225)
    return ["build", recipe]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = unicorn(*arguments(folder), *SHARED, "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return published_bytes(folder / "unicorn")


def records(folder: Path) -> int:
    return len(list(folder.glob("unicorn.work/*/*.json")))


def children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found |= {int(child)} | children(int(child))
    return found


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_records(folder: Path, number: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while records(folder) < number and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_again_and_again_it_ends_with_the_same_data_set(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    rng = random.Random(7)
    kills = 0
    for more in (3, 16, 12):
        process = start(*arguments(tmp_path), cwd=tmp_path)
        wait_for_records(tmp_path, records(tmp_path) + more + rng.randrange(5), process)
        if process.poll() is None:
            started = children(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
            assert not (tmp_path / "unicorn").exists()
            deadline = time.monotonic() + 30
            while any(is_alive(pid) for pid in started):
                assert time.monotonic() < deadline, "worker processes outlive a killed build"
                time.sleep(0.1)
        process.communicate()
    assert kills == 3
    done = unicorn(*arguments(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert published_bytes(tmp_path / "unicorn") == undisturbed


def test_any_of_its_processes_may_be_killed(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """The command too, which is then given again; it gives up for none of the others."""
    rng = random.Random(3)
    process = start(*arguments(tmp_path), cwd=tmp_path)
    for kill in range(9):
        wait_for_records(tmp_path, records(tmp_path) + rng.randrange(6), process)
        if process.poll() is not None:
            break
        others = [pid for pid in sorted(children(process.pid)) if is_alive(pid)]
        victim = process.pid if kill == 4 or not others else rng.choice(others)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim == process.pid:
            process.communicate()
            process = start(*arguments(tmp_path), cwd=tmp_path)
    assert kill >= 6
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert published_bytes(tmp_path / "unicorn") == undisturbed


def test_a_second_build_is_told_to_wait_and_ctrl_c_says_how_to_go_on(
    undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    process = start(*arguments(tmp_path), cwd=tmp_path)
    wait_for_records(tmp_path, 20, process)
    # It does not end while another one is told to wait.
    os.killpg(process.pid, signal.SIGSTOP)
    second = unicorn(*arguments(tmp_path), cwd=tmp_path)
    os.killpg(process.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert "another build is running" in second.stderr
    # As a terminal does it: to the command and all its workers.
    os.killpg(process.pid, signal.SIGINT)
    check_stopped(process)
    assert not (tmp_path / "unicorn").exists()
    # As a scheduler of jobs does it.
    process = start(*arguments(tmp_path), cwd=tmp_path)
    wait_for_records(tmp_path, records(tmp_path) + 5, process)
    process.terminate()
    check_stopped(process)
    assert unicorn(*arguments(tmp_path), cwd=tmp_path).returncode == 0
    assert published_bytes(tmp_path / "unicorn") == undisturbed


def check_stopped(process: "subprocess.Popen[str]") -> None:
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "run the same command again to resume" in told
    assert "Traceback" not in told, told
