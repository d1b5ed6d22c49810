"""The script of a Hugging Face Job, on a Hub of the tests, with everything but the rental."""

import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builds import SHARED, published_bytes, unicorn, write_seeds
from tests.docs.blocks import ROOT, blocks
from tests.hub.buckets import BucketFile, BucketHub
from unicorn_hf.runtime import locks

SCRIPT = ROOT / "examples" / "jobs" / "build.py"
BUCKET = "unicorn-lab/unicorn-work"


def write_recipe(folder: Path) -> Path:
    path = folder / "small.yaml"
    path.write_text(
        "partition_rows: 25\nseeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        "captions: {num: 100}\ninstructions: {num: 20}\nrepresentations: {encoder: 'hashing:64'}\n"
        "cluster: {workers: 2}\n"
    )
    write_seeds(folder / "seeds.txt", 150)
    return path


def start(recipe: Path, machine: Path, **environment: str) -> "subprocess.Popen[str]":
    """A job whose disk is `machine`."""
    machine.mkdir()
    return subprocess.Popen(
        [sys.executable, SCRIPT, recipe, "--push", "unicorn-lab/set"],
        cwd=machine,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(machine / "hf"), **environment},
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_a_job_that_is_cut_off_goes_on_in_the_next(hf: str, bucket_hub: BucketHub, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    first = start(recipe, tmp_path / "first")
    deadline = time.monotonic() + 200
    while num_records(bucket_hub) < 3:
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    bucket = bucket_hub.buckets[BUCKET]
    assert bucket.private
    # Of a partition without a record, the next job writes the shards again.
    done_before = {path.removesuffix(".json") for path in bucket.files if path.endswith(".json")}
    was_there = {path: file for path, file in bucket.files.items() if path.partition(".")[0] in done_before}
    assert len(was_there) > 3
    leave_lock_of_another_machine(bucket.files)

    second = start(recipe, tmp_path / "second")
    _, told = second.communicate(timeout=300)
    assert second.returncode == 0, told
    assert all(bucket.files[path] == file for path, file in was_there.items() if path.startswith("set/captions-"))
    assert not any("lock-" in path for path in bucket.files)
    assert not any(bucket_hub.token.encode() in file.content for file in bucket.files.values())

    local = tmp_path / "local"
    local.mkdir()
    done = unicorn("build", write_recipe(local), *SHARED, "--workers", 1, cwd=local)
    assert done.returncode == 0, done.stderr
    made = {name: content for name, content in published_bytes(local / "unicorn").items() if name.endswith(".parquet")}
    pushed = bucket_hub.files("unicorn-lab/set")
    assert made
    assert {name: pushed[name] for name in made} == made


def num_records(hub: BucketHub) -> int:
    files = hub.buckets[BUCKET].files if BUCKET in hub.buckets else ()
    return sum(path.endswith(".json") and path.count("/") > 1 for path in list(files))


def leave_lock_of_another_machine(files: dict[str, BucketFile]) -> None:
    """It is not known that its holder is gone: the next job waits until the lock expires, here in some seconds."""
    (name,) = (path for path in files if "lock-" in path)
    holder = locks._Holder(machine=("elsewhere", "x"), pid=1, started=0).model_dump_json().encode()
    files[name] = replace(files[name], content=holder, uploaded=time.time() - locks._SILENT_S + 10)


def test_the_documented_commands_start_a_job(tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path)
    code = "\n".join(block.code for block in blocks("bash") if "hf jobs" in block.code)
    commands = [
        shlex.split(line) for line in code.replace("\\\n", " ").splitlines() if line.startswith("hf jobs uv run")
    ]
    assert commands
    for command in commands:
        line = [Path(sys.executable).with_name("hf"), *command[1:4], "--dry-run", *command[4:]]
        told = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        assert "Job not submitted" in told.stdout
        for wanted in ("build.py", "HF_TOKEN", "--push ORG/NAME"):
            assert wanted in told.stdout


def test_the_work_folder_is_named_for_the_set_unless_it_is_given() -> None:
    given = ["demo", "--push=ORG/NAME", "--captions", "10"]
    arguments = runpy.run_path(str(SCRIPT))["arguments"]
    assert arguments(given) == ["build", "--work-dir", "hf://buckets/ORG/unicorn-work/NAME", "--yes", *given]


@pytest.mark.parametrize("given", [["demo"], ["demo", "--push", "NAME"]])
def test_a_job_that_would_push_nowhere_does_not_start(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT))["arguments"](given)
    assert "--push" in capsys.readouterr().err
