"""Work folders in remote storage: whole objects, and one build at a time."""

import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from tests.hub.buckets import BucketHub
from tests.hub.server import Fault
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.runtime import locks, storage
from unicorn_hf.runtime.files import (
    DamagedShardError,
    atomic,
    map_arrow,
    read_table,
    rows_table,
    write_arrow,
    write_bytes,
    write_json,
    write_table,
)
from unicorn_hf.runtime.hub_buckets import BucketPath
from unicorn_hf.runtime.locks import exclusive, make_private
from unicorn_hf.runtime.steps import Record, Step

ROWS = [{"seed": f"seed {index}", "source": "file", "domain": "d"} for index in range(5)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def numbers(folder: Path) -> list[str]:
    """Of locks."""
    return [name[: len("lock-000000")] for name in names(folder)]


def test_a_path_of_this_machine_is_a_path() -> None:
    assert storage.place("some/folder") == Path("some/folder")
    assert storage.place("file:///some/folder") == Path("/some/folder")
    assert not storage.is_remote(storage.place("some/folder"))


def test_another_place_does_what_a_path_does_and_crosses_processes(remote: str) -> None:
    folder = storage.place(f"{remote}/")
    assert storage.is_remote(folder)
    assert str(folder) == remote
    path = pickle.loads(pickle.dumps(folder / "captions-0f" / "a.json"))  # noqa: S301
    write_json(path, {"a": 1})
    assert (path.read_text(), path.name, path.parent.name) == ('{\n  "a": 1\n}\n', "a.json", "captions-0f")
    assert [str(found) for found in folder.glob("captions-*/*.json")] == [str(path)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://key:a-secret@bucket/path", "contains credentials"),
        ("https://host/path?X-Amz-Signature=a-secret", "contains credentials"),
        ("s3:///path", "the bucket is missing"),
        ("nonsense://bucket/path", "unknown storage nonsense://"),
        ("hf://buckets/ORG", "the bucket is incomplete"),
        ("hf://datasets/ORG/NAME/work", "each file would be a commit"),
        ("hf://ORG/NAME", "each file would be a commit"),
    ],
)
def test_a_url_that_is_no_place_is_refused_and_its_secret_is_not_told(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        storage.place(url)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(("url", "extra"), [("s3://bucket/path", "s3"), ("hf://buckets/ORG/NAME/path", "hf")])
def test_a_package_that_is_missing_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(InputError) as caught:
        storage.place(url)
    assert caught.value.advice == f"pip install 'unicorn-hf[{extra}]'"


def test_an_error_leaves_the_old_object_and_nothing_else(remote: str) -> None:
    path = storage.place(remote) / "a.txt"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="broken"), atomic(path) as temporary:
        temporary.write_bytes(b"new, half")
        raise RuntimeError("broken")
    assert path.read_bytes() == b"old"
    with atomic(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["a.txt"]


def test_shards_come_back_and_damage_is_found(remote: str) -> None:
    folder = storage.place(remote)
    write_table(folder / "t.parquet", rows_table(ROWS, SEEDS), SEEDS)
    assert read_table(folder / "t.parquet", SEEDS).to_pylist() == ROWS
    table = pa.table({"number": pa.array([1.5, 2.5], pa.float32())})
    write_arrow(folder / "t.arrow", table)
    assert map_arrow(folder / "t.arrow").equals(table)
    for name in ("t.parquet", "t.arrow"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
    with pytest.raises(DamagedShardError, match=rf"{remote}/t\.parquet is damaged"):
        read_table(folder / "t.parquet", SEEDS)
    with pytest.raises(DamagedShardError, match="is missing"):
        map_arrow(folder / "gone.arrow")


def test_partitions_are_found_as_in_a_folder(remote: str) -> None:
    step = Step.of(storage.place(remote), "captions", "configuration")
    assert step.find("000", "inputs", Record) is None
    write_table(step.shard("000", "captions"), rows_table(ROWS, SEEDS), SEEDS)
    record = step.finish("000", Record(inputs="inputs", num_bytes=step.sizes("000", "captions")))
    assert step.find("000", "inputs", Record) == record
    step.shard("000", "captions").write_bytes(b"cut")
    assert step.find("000", "inputs", Record) is None
    assert names(step.folder) == ["000.captions.parquet"]


def test_a_folder_and_all_in_it_are_deleted(remote: str) -> None:
    folder = storage.place(remote)
    storage.remove_tree(folder)
    for name in ("a", "b/c", "b/d"):
        write_bytes(folder / name, b"1")
    write_bytes(folder.parent / "beside", b"1")
    storage.remove_tree(folder)
    assert not folder.exists()
    assert names(folder.parent) == ["beside"]


def test_a_second_build_is_told_to_wait(remote: str) -> None:
    folder = storage.place(remote)
    with exclusive(folder):
        said = f"another build is running in {remote} on .*process {os.getpid()}"
        with pytest.raises(RunError, match=said) as caught, exclusive(folder):
            pytest.fail("two hold it")
        assert "--work-dir" in caught.value.advice
    assert not folder.exists(), "nothing is left of a lock"
    with exclusive(folder):
        pass


def test_of_many_at_once_one_holds_it(remote: str, number: int = 8) -> None:
    folder = storage.place(remote)
    together, held, refused, release = threading.Barrier(number), [], [], threading.Event()

    def take() -> None:
        together.wait()
        try:
            with exclusive(folder):
                held.append(1)
                release.wait(60)
        except RunError:
            refused.append(1)
            if len(refused) == number - 1:
                release.set()

    threads = [threading.Thread(target=take) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, number - 1)


def test_what_a_killed_build_held_is_taken_over_at_once_on_its_machine(remote: str) -> None:
    code = (
        "import sys, time\n"
        "from unicorn_hf.runtime.locks import exclusive; from unicorn_hf.runtime.storage import place\n"
        "with exclusive(place(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, remote], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"process {process.pid}"), exclusive(storage.place(remote)):
            pytest.fail("two hold it")
    finally:
        process.kill()
        process.wait()
    with exclusive(storage.place(remote)):
        assert numbers(storage.place(remote)) == ["lock-000002"]


@pytest.mark.parametrize("content", ["of another machine", "no lock of ours"])
def test_what_is_silent_elsewhere_is_taken_over_in_time(
    content: str, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = storage.place(remote)
    holder = locks._Holder(machine=("elsewhere", "x"), pid=1, started=0).model_dump_json()
    write_bytes(folder / "lock-000007", b"{" if "no lock" in content else holder.encode())
    with pytest.raises(RunError) as caught, exclusive(folder):
        pytest.fail("two hold it")
    assert "its lock expires in 1" in caught.value.advice, "in about 120 s"
    monkeypatch.setattr(locks, "_SILENT_S", -1.0)
    with exclusive(folder):
        assert numbers(folder) == ["lock-000008"]


def test_a_file_that_is_named_almost_as_a_lock_is_none(remote: str) -> None:
    folder = storage.place(remote)
    for name in ("lock-x", "lock-", "lock-9" + "9" * 5000):
        with suppress(OSError):
            write_bytes(folder / name, b"{}")
    with exclusive(folder):
        assert "lock-000001" in numbers(folder)


def test_a_holder_that_could_not_be_heard_and_lost_its_place_is_told(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BEAT_S", 0.05)
    folder = storage.place(remote)
    with pytest.raises(RunError, match="another build took over"), exclusive(folder):
        write_bytes(folder / "lock-000002", b"{}")
    assert names(folder) == ["lock-000002"], "what is the other's stays"


def test_a_holder_is_heard_as_long_as_it_lives(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_BEAT_S", 0.05)
    written: list[Path] = []
    put = storage.put
    heard = threading.Event()

    def told(path: Path, content: bytes) -> None:
        put(path, content)
        written.append(path)
        if len(written) > 2:
            heard.set()

    monkeypatch.setattr(storage, "put", told)
    with exclusive(storage.place(remote)):
        assert heard.wait(30)
    assert len({path.name for path in written}) == 1


def test_a_server_that_is_gone_at_the_end_undoes_nothing(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(folder: Path) -> None:
        raise OSError("no network")

    with exclusive(storage.place(remote)):
        monkeypatch.setattr(locks, "_locks", gone)


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:
    folder = storage.place("s3://no-such-bucket/work")
    with pytest.raises(RunError, match=f"{folder} cannot be reached"), exclusive(folder):
        pytest.fail("held")


def test_a_server_that_does_not_answer_is_no_traceback(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RunError, match="cannot be reached"), exclusive(storage.place(f"{s3}-other")):
            pytest.fail("held")
    finally:
        S3FileSystem.clear_instance_cache()


def test_a_bucket_of_the_hub_is_created_private_and_public_ones_are_told(hf: str, bucket_hub: BucketHub) -> None:
    with exclusive(storage.place(hf.replace("some-bucket", "new"))):
        assert bucket_hub.buckets["unicorn-lab/new"].private
    assert not locks.is_open_to_others(storage.place(hf))
    bucket_hub.buckets["unicorn-lab/some-bucket"].private = False
    assert locks.is_open_to_others(storage.place(hf))


def test_a_token_that_may_not_write_ends_at_the_start(
    hf: str, bucket_hub: BucketHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", bucket_hub.reading_token)
    for folder in map(storage.place, (hf, hf.replace("some-bucket", "new"))):
        message = f"{folder} cannot be reached or written"
        with pytest.raises(RunError, match=message) as caught:
            make_private(folder)
        assert bucket_hub.reading_token not in str(caught.value)
        with pytest.raises(RunError, match=message), exclusive(folder):
            pytest.fail("held")


def test_times_are_the_hubs(hf: str, bucket_hub: BucketHub) -> None:
    bucket_hub.clock_ahead_s = 5000
    path = storage.place(hf) / "a"
    write_bytes(path, b"1")
    assert storage.modified(path) > time.time() + 4000


def test_a_claim_waits_until_listings_show_the_others(
    hf: str, bucket_hub: BucketHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that start together, where the Hub shows a new file late."""
    bucket_hub.lag_s = 1.0
    monkeypatch.setattr(BucketPath, "settle_s", 2.0)
    test_of_many_at_once_one_holds_it(hf, 2)


def test_a_silent_lock_is_waited_for(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LATE_S", -1.0)
    monkeypatch.setattr(locks, "_SILENT_S", 2.0)
    monkeypatch.setattr(locks, "_LOOK_S", 0.1)
    folder = storage.place(remote)
    holder = locks._Holder(machine=("elsewhere", "x"), pid=1, started=0).model_dump_json()
    write_bytes(folder / "lock-000007", holder.encode())
    with exclusive(folder):
        assert numbers(folder) == ["lock-000008"]


def test_the_hub_may_fail_for_a_while(hf: str, bucket_hub: BucketHub) -> None:
    folder = storage.place(hf)
    paths = (
        ("GET", "/xet-write-token"),
        ("POST", "/batch"),
        ("GET", "/resolve/"),
        ("GET", "/tree"),
        ("POST", "/paths-info"),
    )
    for method, path in paths:
        bucket_hub.faults.append(Fault(method, path, status=503))
    write_bytes(folder / "a", b"1")
    assert (storage.read(folder / "a"), storage.listed(folder), (folder / "a").stat().st_size) == (b"1", [("a", 1)], 1)
    assert [fault.struck for fault in bucket_hub.faults] == [2] * len(paths)


def test_deleting_what_is_gone_is_no_error(remote: str) -> None:
    folder = storage.place(remote)
    write_bytes(folder / "a", b"1")
    storage.remove([folder / "a", folder / "b"])
    storage.remove([folder / "a"])
    storage.remove([])
    assert not folder.exists()
