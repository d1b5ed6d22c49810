"""Builds whose work folder is in remote storage: the same bytes as in a folder, whatever is killed."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.builds import SHARED, published_bytes, start, unicorn, write_seeds
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.pipeline.cleaning import clean
from unicorn_hf.pipeline.planning import plan
from unicorn_hf.pipeline.run import build
from unicorn_hf.runtime.storage import place

pytestmark = pytest.mark.slow


def recipe(folder: Path) -> Path:
    path = folder / "small.yaml"
    path.write_text(
        "partition_rows: 25\nseeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        "captions: {num: 100, near_duplicates: {semantic_threshold: 0.99}}\ninstructions: {num: 20}\n"
        "representations: {encoder: 'hashing:64'}\ncluster: {workers: 2}\n"
    )
    write_seeds(folder / "seeds.txt", 150)
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = unicorn("build", recipe(folder), *SHARED, "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return published_bytes(folder / "unicorn")


def wait_for_records(work: str, number: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while len(list(place(work).glob("*-*/*.json"))) < number and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_set(
    remote: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    process = start("build", recipe(tmp_path), "--work-dir", remote, cwd=tmp_path)
    wait_for_records(remote, 3, process)
    # It holds its place, and does not end while it is looked at.
    os.kill(process.pid, signal.SIGSTOP)
    second = unicorn("build", recipe(tmp_path), "--work-dir", remote, cwd=tmp_path)
    assert second.returncode == 1
    assert "another build is running" in second.stderr
    assert f"(process {process.pid})" in " ".join(second.stderr.split())
    shown = json.loads(unicorn("status", remote, "--json", cwd=tmp_path).stdout)
    assert (shown["build"]["state"], shown["build"]["pid"]) == ("running", process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "unicorn").exists()
    done = unicorn("build", recipe(tmp_path), "--work-dir", remote, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert published_bytes(tmp_path / "unicorn") == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seeds.txt", "small.yaml", "unicorn"]

    work = place(remote)
    assert "a-very-secret-word" not in "".join(
        path.read_bytes().decode(errors="replace") for path in work.rglob("*") if path.is_file()
    )
    assert "done at" in unicorn("status", remote, cwd=tmp_path).stdout
    told = [json.loads(line)["event"] for line in (work / "log.jsonl").read_text().splitlines()]
    assert told.count("started") == 2, "all runs are in the log"
    assert told[-1] == "done"

    shard = min(work.glob("representations-*/*.embeddings.arrow"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    for record in work.glob("packaging-*/*.json"):
        record.unlink()
    again = unicorn("build", recipe(tmp_path), "--work-dir", remote, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{shard}isdamaged" in "".join(again.stderr.split())
    assert published_bytes(tmp_path / "unicorn") == undisturbed

    assert unicorn("clean", remote, cwd=tmp_path).returncode == 0
    assert not work.exists()
    assert unicorn("status", remote, cwd=tmp_path).returncode == 2
    assert unicorn("clean", remote, cwd=tmp_path).returncode == 2


def test_builds_share_stored_answers(remote: str, tmp_path: Path) -> None:
    asked = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        few = ["--captions", 25, "--instructions", 5, "--workers", 1]
        done = unicorn("build", recipe(folder), "--answers", remote, *few, cwd=folder)
        assert done.returncode == 0, done.stderr
        asked.append(
            [
                stage["num_asked"]
                for stage in json.loads(unicorn("status", "unicorn", "--json", cwd=folder).stdout)["build"]["stages"]
            ]
        )
    assert asked[0][0] >= 25
    assert not any(asked[1])


def test_the_published_folder_is_one_of_this_machine(tmp_path: Path) -> None:
    done = unicorn("build", recipe(tmp_path), "--out", "s3://bucket/unicorn", cwd=tmp_path)
    assert done.returncode == 2
    assert "must be local" in " ".join(done.stderr.split())
    assert "--push" in done.stderr
    with pytest.raises(InputError, match="must be local"):
        build(load_recipe(recipe(tmp_path)), "s3://bucket/unicorn")


def test_a_plan_names_the_place(remote: str, tmp_path: Path) -> None:
    planned = plan(load_recipe(recipe(tmp_path)), tmp_path / "unicorn", remote)
    assert str(planned.work_dir) == remote
    assert not planned.work_dir.exists()


def test_a_work_folder_that_is_called_answers_is_cleaned_too(remote: str) -> None:
    folder = place(remote).parent / "answers"
    (folder / "state.json").write_text("{}")
    assert clean(str(folder)) >= 2
    assert not folder.exists()
