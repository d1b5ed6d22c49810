"""The files for Slurm, on a real Slurm: stopped in the middle, the job goes on by itself and makes the same rows."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.examples.clusters.conftest import EXAMPLES, gpus_of_workers, rows_of, run
from tests.examples.clusters.slurm import IS_INSTALLED, Slurm, slurm
from tests.runtime.dask_cluster import certificates, variables_of
from unicorn_hf.runtime.scheduler_address import address_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not IS_INSTALLED, reason="Slurm and munge are not installed")]

VARIABLES = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": str(ROOT),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm(Path(folder)) as started:
        yield started


def test_shellcheck_finds_nothing(environment: Path) -> None:
    assert run([environment / "shellcheck", EXAMPLES / "slurm.sh"]) == ""


def test_a_job_that_is_stopped_before_its_time_limit_is_queued_again_and_makes_the_same_rows(
    cluster: Slurm, recipe: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    options = ["--parsable", "--nodes", 2, "--ntasks-per-node", 1, "--gpus-per-task", 4, "--cpus-per-task", 16]
    job = cluster.run("sbatch", *options, EXAMPLES / "slurm.sh", recipe, "--out", "set", cwd=tmp_path, **VARIABLES)
    log = tmp_path / f"slurm-{job}.out"
    folder = tmp_path / f".unicorn-{job}"
    scheduler = folder / "scheduler.json"
    cluster.wait_until(lambda: scheduler.exists() and scheduler.stat().st_size > 0, "no scheduler\n", log)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert gpus_of_workers(address_of(str(scheduler)), folder / "tls.pem") == ["0,1,2,3", "0,1,2,3"]
    cluster.wait_until(lambda: len(list(tmp_path.glob("set.work/captions-*/*.json"))) >= 3, "no captions\n", log)

    cluster.run("scancel", "--signal", "USR1", "--batch", job)  # As Slurm does two minutes before the time limit.
    cluster.wait_until(lambda: cluster.job(job)["JobState"] == "PENDING", "not queued again\n", log)
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm would wait for two minutes.
    cluster.wait_until(lambda: cluster.job(job)["JobState"] in ("COMPLETED", "FAILED"), "not ended\n", log)

    assert cluster.job(job)["JobState"] == "COMPLETED", log.read_text()
    assert cluster.job(job)["Restarts"] == "1"
    assert "resumes an earlier run" in log.read_text()
    assert "dashboard" not in log.read_text()
    assert rows_of(tmp_path / "set") == expected
    events = [json.loads(line)["event"] for line in (tmp_path / "set.work" / "log.jsonl").read_text().splitlines()]
    assert events.count("started") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.work", log.name]


def test_workers_as_jobs_of_their_own_make_the_same_rows(
    cluster: Slurm, environment: Path, recipe: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    """Two at once, since each asks for four GPUs and 16 cores."""
    command = [environment / "python", EXAMPLES / "slurm-jobqueue.py", recipe, "--out", "set"]
    output = cluster.run(*command, cwd=tmp_path, **VARIABLES, **variables_of(certificates(tmp_path)))
    assert "160 captions" in output
    assert rows_of(tmp_path / "set") == expected
    cluster.wait_until(lambda: not cluster.run("squeue", "--noheader"), "workers stay")
