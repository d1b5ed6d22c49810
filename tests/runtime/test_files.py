"""Files are whole under their names, or not there."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.runtime.files import (
    DamagedShardError,
    atomic,
    disk_errors,
    map_arrow,
    read_arrow,
    read_table,
    rows_table,
    take_rows,
    write_arrow,
    write_json,
    write_table,
    write_text,
)
from unicorn_hf.runtime.seal import UNSEALED, seal_of, sealed

ROWS = [{"seed": f"seed {index}", "source": "file", "domain": "d"} for index in range(5)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent, "on the same file system"
        assert not path.exists()
        written = temporary.stat().st_ino
    assert path.read_text() == "half"
    assert path.stat().st_ino == written, "renamed, which is at once, and not copied, which is not"
    assert files(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="broken"), atomic(path) as temporary:
        temporary.write_text("new, half")
        raise RuntimeError("broken")
    assert path.read_text() == "old"
    assert files(tmp_path) == ["a.txt"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from unicorn_hf.runtime.files import atomic\n"
        "with atomic(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('new, half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_text_and_json_are_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "caf\u00e9 猫\n")
    assert (tmp_path / "a.txt").read_bytes() == "caf\u00e9 猫\n".encode()
    write_json(tmp_path / "a.json", {"name": "猫", "list": [1, None]})
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "猫", "list": [1, None]}


def test_a_table_comes_back_as_its_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, rows_table(ROWS, SEEDS), SEEDS)
    table = read_table(path, SEEDS)
    assert table.schema.equals(SEEDS)
    assert table.to_pylist() == ROWS
    assert read_table(path, SEEDS, ["domain", "seed"]).column_names == ["domain", "seed"]
    assert files(tmp_path) == ["t.parquet"]


def test_the_schema_decides_order_and_columns(tmp_path: Path) -> None:
    table = pa.table({"domain": ["d"], "extra": [1], "seed": ["s"], "source": ["f"]})
    write_table(tmp_path / "t.parquet", table, SEEDS)
    assert pq.read_schema(tmp_path / "t.parquet").equals(SEEDS)


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", rows_table([], SEEDS), SEEDS)
    assert read_table(tmp_path / "t.parquet", SEEDS).num_rows == 0


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (pa.table({"seed": ["s"], "source": ["f"]}), KeyError),
        (
            pa.table(
                {"seed": [None], "source": ["f"], "domain": ["d"]},
                schema=pa.schema([(n, pa.string()) for n in SEEDS.names]),
            ),
            ValueError,
        ),
        (pa.table({"seed": [b"\xff"], "source": ["f"], "domain": ["d"]}), ValueError),
    ],
)
def test_a_table_that_does_not_fit_is_not_written(table: pa.Table, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        write_table(tmp_path / "t.parquet", table, SEEDS)
    assert files(tmp_path) == []


def test_a_column_that_an_earlier_version_did_not_write_is_null(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, rows_table(ROWS, SEEDS), SEEDS)
    later = pa.schema([pa.field("more", pa.bool_()), *SEEDS])
    assert read_table(path, later).to_pylist() == [{"more": None, **row} for row in ROWS]
    assert read_table(path, later, ["more"]).to_pylist() == [{"more": None} for _ in ROWS]


def test_a_shard_of_another_schema_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, rows_table(ROWS, SEEDS), SEEDS)
    for other in (
        pa.schema([pa.field("seed", pa.int64())]),
        pa.schema([pa.field("more", pa.string(), nullable=False)]),
    ):
        with pytest.raises(DamagedShardError, match="of another version"):
            read_table(path, other)


def test_an_arrow_file_comes_back_and_its_numbers_are_not_copied_into_another_type(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "number": pa.array([1.5, 2.5], pa.float32())})
    write_arrow(tmp_path / "t.arrow", table)
    for read in (read_arrow, map_arrow):
        assert read(tmp_path / "t.arrow").equals(table)
    assert files(tmp_path) == ["t.arrow"]


def test_the_seal_is_that_of_the_content_alone(tmp_path: Path) -> None:
    first, second = (write_table(tmp_path / name, rows_table(ROWS, SEEDS), SEEDS) for name in ("a", "b"))
    assert first == second
    assert write_table(tmp_path / "c", rows_table(ROWS[:4], SEEDS), SEEDS) != first


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_flipped_bit_is_found_wherever_it_is(form: str, tmp_path: Path) -> None:
    """Page checksums of Parquet would not do: they leave out the footer."""
    path = tmp_path / f"t.{form}"
    if form == "parquet":
        write_table(path, rows_table(ROWS, SEEDS), SEEDS)
    else:
        write_arrow(path, rows_table(ROWS, SEEDS))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(DamagedShardError) as caught:
            read_table(path, SEEDS) if form == "parquet" else read_arrow(path)
        assert caught.value.path == path
    path.write_bytes(whole)
    assert (read_table(path, SEEDS) if form == "parquet" else read_arrow(path)).to_pylist() == ROWS


@pytest.mark.parametrize("length", [0, 1, 200, -1])
def test_a_shard_that_was_cut_is_damaged(length: int, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, rows_table(ROWS, SEEDS), SEEDS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedShardError, match="is damaged"):
        read_table(path, SEEDS)


def test_a_shard_that_is_gone_is_damaged_and_the_error_crosses_processes(tmp_path: Path) -> None:
    for read in (read_arrow, map_arrow):
        with pytest.raises(DamagedShardError, match="is missing") as caught:
            read(tmp_path / "t.arrow")
        sent = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert (sent.path, str(sent)) == (tmp_path / "t.arrow", str(caught.value))


def test_of_a_file_that_was_mapped_before_a_change_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    write_arrow(path, rows_table(ROWS, SEEDS))
    map_arrow(path)
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedShardError):
        map_arrow(path)


@given(st.binary(max_size=40), st.binary(max_size=40), st.data())
def test_sealed_bytes_are_told_from_others(before: bytes, after: bytes, data: st.DataObject) -> None:
    assume(b"xxh3_64:" not in after)
    whole = bytes(sealed(before + UNSEALED.encode() + after))
    assert seal_of(whole)
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    other = bytearray(whole)
    other[at // 8] ^= 1 << at % 8
    assert seal_of(bytes(other)) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.EACCES])
def test_what_a_disk_refuses_is_said_with_the_files_name(number: int, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(RunError, match=f"cannot write {path}: ") as caught, disk_errors(), atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert "Free some space" in caught.value.advice
    assert files(tmp_path) == []


@given(st.lists(st.integers(0, 4), max_size=8))
def test_rows_are_taken_in_the_order_given(rows: list[int]) -> None:
    taken = take_rows(rows_table(ROWS, SEEDS), rows)
    assert taken.schema.equals(SEEDS)
    assert taken.to_pylist() == [ROWS[row] for row in rows]
