"""A build by batches whose processes are killed, with every fault of the server: complete, and nothing paid twice."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.builds import rows, start, write_seeds
from tests.engines.batch_api import BatchApi, write_batch_recipe
from unicorn_hf.runtime.batches import batches_in

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

CAPTIONS = int(os.environ.get("SOAK_CAPTIONS", "300"))
INSTRUCTIONS = CAPTIONS * 2 // 5
KILLS = 10


def test_ten_kills_and_every_fault(tmp_path: Path) -> None:
    recipe, rng, num_kills, num_runs = write_recipe(tmp_path), random.Random(0), 0, 0
    faults = BatchApi(
        takes_min=40,
        share_expired=0.1,
        lost_creates=frozenset(range(2, 100, 4)),
        failed_creates=frozenset(range(3, 100, 9)),
        cut_downloads=frozenset(range(1, 200, 5)),
        quota=CAPTIONS * 1500,
        gone=range(300, 360),
    )
    with faults.running() as api:
        settings = ["--base-url", api.url, "--set", f"engine.max_requests={CAPTIONS // 6}"]
        while True:
            num_runs += 1
            process = start("build", recipe, *settings, "--workers", 1, cwd=tmp_path, NO_PROXY="127.0.0.1")
            seen = api.clock_min
            # By the server's clock, so that kills fall into all that is done with it.
            until = seen + rng.randint(5, 50) if num_kills < KILLS else float("inf")
            while process.poll() is None and api.clock_min < until:
                time.sleep(0.002)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                num_kills += 1
            output, errors = process.communicate()
            if process.returncode == 0:
                break
            assert process.returncode in (-signal.SIGKILL, 1), errors
            assert process.returncode != 1 or "the server at" in errors, errors
            assert num_runs < 3 * KILLS, (output, errors)
    assert len(rows(tmp_path / "unicorn", "pretrain")) == CAPTIONS
    assert len(rows(tmp_path / "unicorn", "instruction")) == INSTRUCTIONS
    assert set(api.paid.values()) == {1}
    entries = batches_in(tmp_path / "unicorn.work")
    assert sum(entry.num_answered for entry in entries) == api.paid.total()
    assert num_kills == KILLS
    print(  # noqa: T201 - figures of the soak
        f"{num_runs} runs, {num_kills} kills, {len(entries)} entries, {api.num_creates} creations,"
        f" {api.num_downloads} downloads, {api.num_uploads} uploads, {api.paid.total()} answers,"
        f" {sum(len(entry.unanswered) for entry in entries)} expired, {api.clock_min} minutes of the server"
    )


def write_recipe(folder: Path) -> Path:
    write_seeds(folder / "seeds.txt", 3 * CAPTIONS)
    engine = "{kind: batch, model: m, poll_s: 0.05}"
    return write_batch_recipe(folder, CAPTIONS, INSTRUCTIONS, partition_rows=200, engine=engine)
