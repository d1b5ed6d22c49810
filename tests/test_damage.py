"""Files that were altered since they were written are made again; what disks and clocks do leaves no trace."""

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builds import SHARED, command, published_bytes, unicorn, write_seeds
from tests.stages import SerialPool, open_serial_pool
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import dump_recipe, load_recipe
from unicorn_hf.pipeline import run
from unicorn_hf.pipeline.run import build
from unicorn_hf.representations.moments import Moments
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, save_image_statistics
from unicorn_hf.runtime import journal
from unicorn_hf.runtime.answers import store
from unicorn_hf.runtime.files import DamagedShardError
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.views.status import status

pytestmark = pytest.mark.slow

SHARDS = [
    "seeds-*/seeds.00001.parquet",
    "answers/*/segments/*.parquet",
    "answers/*/journals/*.journal",
    "captions-*/000-00001.captions.parquet",
    "near-duplicates-*/*.keys.parquet",
    "near-duplicates-*/pairs-*.pairs.parquet",
    "near-duplicates-*/selected.rows.parquet",
    "semantic-duplicates-*/*.vectors.arrow",
    "semantic-duplicates-*/cell-*.pairs.parquet",
    "instructions-*/000-00000-0.instructions.parquet",
    "representations-*/000-00001.embeddings.arrow",
    "representations-*/000-00001.moments.parquet",
    "moments-*/all.moments.parquet",
    "alignment-*/000-00001.mean.parquet",
    "packaging-*/*.packaged.parquet",
]
RECORDS = "*-*/*.json"
NEVER_READ = "*.rejections.parquet"
"""Written for people; a build does not look at them again."""
BESIDE_THE_DATA = ["recipe.json", "state.json", "log.jsonl", "machines.json"]


class Notes(Progress):
    """Keeps what is said of damage."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        if "regenerating" in message:
            self.said.append(message)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """One that has every kind of step."""
    folder = tmp_path_factory.mktemp("recipe")
    write_seeds(folder / "seeds.txt", 60)
    images = np.random.default_rng(3).normal(size=(100, 64))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    save_image_statistics(
        folder / "images.safetensors",
        ImageStatistics(Moments.of(images), "hashing:64", encoder_id("hashing:64"), "noise"),
    )
    path = folder / "all.yaml"
    path.write_text(
        "partition_rows: 20\nseeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        "captions: {num: 50, near_duplicates: {threshold: 0.3, semantic_threshold: 0.97}}\ninstructions: {num: 15}\n"
        "representations: {encoder: 'hashing:64', transfer: realign, image_statistics: images.safetensors}\n"
        "cluster: {workers: 1}\n"
    )
    return load_recipe(path)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unicorn_hf.pipeline.run.open_pool", open_serial_pool)


@pytest.fixture(scope="module")
def finished(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unicorn_hf.pipeline.run.open_pool", open_serial_pool)
        patch.setattr(store, "SEGMENT_ROWS", 30)
        build(recipe, folder / "unicorn")
    return folder


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit; neither size nor time tell of it."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def only(folder: Path, pattern: str) -> Path:
    return min(folder.glob(f"unicorn.work/{pattern}"))


def read_all_again(folder: Path, but: Path) -> None:
    """Take away what was published, and all records but that of the partition of `but`."""
    shutil.rmtree(folder / "unicorn")
    stays = but.with_name(f"{but.name.partition('.')[0]}.json")
    for record in folder.glob("unicorn.work/*-*/*.json"):
        # What was selected is looked at where all that it was selected from is found.
        if record != stays and but.name != "selected.rows.parquet":
            record.unlink()


def test_every_kind_of_file_is_tried_here(finished: Path) -> None:
    work = finished / "unicorn.work"

    def kind(path: Path) -> str:
        return re.sub(
            r"(?<=/)[^/]+(?=\.journal)|(?<=segments/)[^/]+|[0-9a-f]{16}|\d+", "N", path.relative_to(work).as_posix()
        )

    tried = [path for pattern in [*SHARDS, RECORDS, *BESIDE_THE_DATA] for path in work.glob(pattern)]
    here = [path for path in work.rglob("*") if path.is_file() and not fnmatch(path.name, NEVER_READ)]
    assert {kind(path) for path in here} == {kind(path) for path in tried}


@pytest.mark.parametrize("pattern", SHARDS)
def test_a_shard_with_a_flipped_bit_is_made_again(pattern: str, recipe: Recipe, again: Path, finished: Path) -> None:
    shard = only(again, pattern)
    flip(shard)
    read_all_again(again, but=shard)
    notes = Notes()
    build(recipe, again / "unicorn", progress=notes)
    assert published_bytes(again / "unicorn") == published_bytes(finished / "unicorn")
    # Of damaged answers nothing but the missing ones is asked again, which is no matter of a partition.
    if "answers" not in pattern:
        assert shard.read_bytes() == only(finished, pattern).read_bytes()
        assert notes.said == [f"{shard} is damaged: its bytes differ from those that were written: regenerating it"]


def test_a_published_shard_that_is_written_to_is_made_again(recipe: Recipe, tmp_path: Path, finished: Path) -> None:
    """It is one file with the packaged one."""
    build(recipe, tmp_path / "unicorn")
    published = min(tmp_path.glob("unicorn/pretrain/*.parquet"))
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    with published.open("rb+") as file:
        file.write(content)
    notes = Notes()
    build(recipe, tmp_path / "unicorn", progress=notes)
    assert len(notes.said) == 1
    assert published_bytes(tmp_path / "unicorn") == published_bytes(finished / "unicorn")


@pytest.mark.parametrize("at", [10, None, -4])
def test_a_record_with_a_flipped_bit_is_none(at: int | None, recipe: Recipe, again: Path, finished: Path) -> None:
    whole = {path: json.loads(path.read_text())["num_bytes"] for path in again.glob(f"unicorn.work/{RECORDS}")}
    for path in whole:
        flip(path, at)
    build(recipe, again / "unicorn")
    assert published_bytes(again / "unicorn") == published_bytes(finished / "unicorn")
    assert {path: json.loads(path.read_text())["num_bytes"] for path in whole} == whole


@pytest.mark.parametrize("content", [b"", b"\xff{", b'{"a": 1'])
def test_what_lies_beside_the_data_disturbs_nothing(
    content: bytes, recipe: Recipe, again: Path, finished: Path
) -> None:
    for name in BESIDE_THE_DATA:
        (again / "unicorn.work" / name).write_bytes(content)
    build(recipe, again / "unicorn")
    assert published_bytes(again / "unicorn") == published_bytes(finished / "unicorn")


def test_a_shard_that_goes_while_the_build_runs_is_made_again(
    recipe: Recipe, again: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = only(again, "representations-*/000-00001.embeddings.arrow")
    read_all_again(again, but=shard)
    package = run.package
    calls: list[int] = []

    def late(*arguments: Any, **named: Any) -> Any:
        if not calls:
            shard.unlink()
        calls.append(1)
        return package(*arguments, **named)

    monkeypatch.setattr("unicorn_hf.pipeline.run.package", late)
    notes = Notes()
    build(recipe, again / "unicorn", progress=notes)
    assert notes.said == [f"{shard} is missing: regenerating it"]
    assert published_bytes(again / "unicorn") == published_bytes(finished / "unicorn")


def test_a_disk_that_damages_what_is_made_again_ends_the_build(
    recipe: Recipe, again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = only(again, "packaging-*/pretrain-00000.packaged.parquet")
    shutil.rmtree(again / "unicorn")
    package = run.package
    calls: list[int] = []

    def broken(*arguments: Any, **named: Any) -> Any:
        packaged = package(*arguments, **named)
        calls.append(1)
        flip(shard)
        return packaged

    monkeypatch.setattr("unicorn_hf.pipeline.run.package", broken)
    with pytest.raises(DamagedShardError, match="is damaged") as caught:
        build(recipe, again / "unicorn")
    assert isinstance(caught.value, RunError)
    assert "Check the disk" in caught.value.advice
    assert len(calls) == 2
    assert not (again / "unicorn").exists()


def test_with_workers_all_that_was_damaged_is_made_again_in_one_run(
    recipe: Recipe, again: Path, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "all.yaml").write_text(dump_recipe(recipe))
    for pattern in ("packaging-*/*.json", "captions-*/000-00002.json", "representations-*/000-00002.json"):
        for record in again.glob(f"unicorn.work/{pattern}"):
            record.unlink()
    shutil.rmtree(again / "unicorn")
    damaged = [
        only(again, pattern)
        for pattern in ("seeds-*/seeds.00002.parquet", "captions-*/000-00001.captions.parquet",
                        "representations-*/000-00001.embeddings.arrow",
                        "instructions-*/000-00000-0.instructions.parquet")
    ]  # fmt: skip
    for path in damaged:
        flip(path)
    done = unicorn("build", "all.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = "".join(done.stderr.split())
    assert all(f"{path}isdamaged" in said for path in damaged), done.stderr
    assert "Traceback" not in done.stderr
    assert published_bytes(tmp_path / "unicorn") == published_bytes(finished / "unicorn")


@pytest.mark.parametrize("share", [0.02, 0.25, 0.5, 0.75, 0.97])
def test_a_disk_that_is_full_for_a_while_is_told_and_leaves_nothing_half_written(
    share: float, recipe: Recipe, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, [0]
    # The journal's files are no part of the work: their errors are passed over.
    number = 5 + len([path for path in finished.glob("unicorn.work/*-*/*") if path.is_file()])

    def full(handle: int) -> None:
        calls[0] += threading.current_thread() is threading.main_thread()
        if int(share * number) <= calls[0] < int(share * number) + 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device") as caught:
        build(recipe, tmp_path / "unicorn")
    assert str(tmp_path) in caught.value.message
    assert not list(tmp_path.rglob("*.tmp"))
    assert {path.name for path in tmp_path.iterdir()} == {"unicorn.work"}
    monkeypatch.setattr(os, "fsync", fsync)
    build(recipe, tmp_path / "unicorn")
    assert published_bytes(tmp_path / "unicorn") == published_bytes(finished / "unicorn")


@pytest.mark.parametrize("kib", [1, 24])
def test_files_that_cannot_grow_end_the_command_with_a_message(
    kib: int, recipe: Recipe, finished: Path, tmp_path: Path
) -> None:
    """Of the operating system, which root is no exception to: a limit of a file's size."""
    (tmp_path / "all.yaml").write_text(dump_recipe(recipe))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib << 10, kib << 10))

    done = subprocess.run(
        command("build", "all.yaml"), cwd=tmp_path, preexec_fn=limited, capture_output=True, text=True, timeout=300
    )
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, said
    assert "File too large" in said
    assert "Traceback" not in said
    assert not (tmp_path / "unicorn").exists()
    assert not list(tmp_path.rglob("*.tmp"))
    assert unicorn("build", "all.yaml", *SHARED, cwd=tmp_path).returncode == 0
    assert published_bytes(tmp_path / "unicorn") == published_bytes(finished / "unicorn")


def test_no_clock_decides_what_is_used_again(
    recipe: Recipe, again: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock tells an hour less, and files are of any year."""
    now = [datetime(2030, 1, 1, tzinfo=UTC)]

    class Backwards(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            now[0] -= timedelta(hours=1)
            return now[0]

    monkeypatch.setattr(journal, "datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: Backwards.now().timestamp())
    for number, path in enumerate(sorted(again.rglob("*"))):
        os.utime(path, (86_400.0 * 365 * (number % 60), 86_400.0 * 365 * (number % 60)))
    shutil.rmtree(again / "unicorn")
    (again / "unicorn.work/state.json").unlink()
    monkeypatch.setattr(SerialPool, "run", _only_found(SerialPool.run))
    build(recipe, again / "unicorn")
    assert published_bytes(again / "unicorn") == published_bytes(finished / "unicorn")
    shown = status(again / "unicorn")
    assert shown.build.state == "done"
    assert all(stage.seconds >= 0 for stage in shown.build.stages)
    assert min(shown.silent_s, shown.rows_per_s) >= 0

    monkeypatch.undo()
    monkeypatch.setattr("unicorn_hf.pipeline.run.open_pool", open_serial_pool)
    monkeypatch.setattr(journal, "datetime", Backwards)
    shutil.rmtree(again / "unicorn.work")
    build(recipe, again / "unicorn")
    assert published_bytes(again / "unicorn") == published_bytes(finished / "unicorn")


def _only_found(run: Any) -> Any:
    def only(pool: SerialPool, jobs: Any, on_record: Any, **named: Any) -> Any:
        assert all(job.find() for job in jobs), "made again"
        return run(pool, jobs, on_record, **named)

    return only
