"""Files are whole under their names, or not there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.runtime.files import atomic, read_table, rows_table, take_rows, write_json, write_table, write_text

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


def test_a_shard_of_another_schema_is_not_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"seed": ["s"], "source": ["f"], "domain": [3.5]}), tmp_path / "t.parquet")
    other = pa.schema([pa.field("seed", pa.int64())])
    with pytest.raises(pa.ArrowInvalid):
        read_table(tmp_path / "t.parquet", other)


@given(st.lists(st.integers(0, 4), max_size=8))
def test_rows_are_taken_in_the_order_given(rows: list[int]) -> None:
    taken = take_rows(rows_table(ROWS, SEEDS), rows)
    assert taken.schema.equals(SEEDS)
    assert taken.to_pylist() == [ROWS[row] for row in rows]
