"""Rows of a published folder: in order, from all over it, and no more read than is asked for."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.builders.rows import batches, num_rows, spread
from unicorn_hf.core.errors import InputError


def written(folder: Path, sizes: list[int], group: int) -> list[int]:
    """Shards of so many rows, numbered through."""
    (folder / "pretrain").mkdir(parents=True, exist_ok=True)
    for path in (folder / "pretrain").iterdir():
        path.unlink()
    start = 0
    for shard, size in enumerate(sizes):
        table = pa.table({"n": range(start, start + size)}, schema=pa.schema([("n", pa.int64())]))
        pq.write_table(table, folder / "pretrain" / f"train-{shard:05d}.parquet", row_group_size=group)
        start += size
    return list(range(start))


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4), group=st.integers(1, 12), number=st.integers(0, 40)
)  # fmt: skip
def test_rows_at_equal_distances(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int, number: int
) -> None:
    folder = tmp_path_factory.mktemp("set", numbered=True)
    there = written(folder, sizes, group)
    assert num_rows(folder, "pretrain") == len(there)
    assert [n for batch in batches(folder, "pretrain", ["n"]) for n in batch.column("n").to_pylist()] == there
    found = spread(folder, "pretrain", ["n"], number).column("n").to_pylist()
    assert len(found) == min(number, len(there))
    if number >= len(there):
        assert found == there
    elif number > 1:
        assert (found[0], found[-1]) == (there[0], there[-1])
        distances = [later - earlier for earlier, later in pairwise(found)]
        assert max(distances) - min(distances) <= 1


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    written(tmp_path, [3], 3)
    (tmp_path / "pretrain" / "train-00001.parquet").write_bytes(b"no Parquet")
    for read in (num_rows, lambda *where: list(batches(*where, ["n"])), lambda *where: spread(*where, ["n"], 2)):
        with pytest.raises(InputError, match=r"train-00001\.parquet: not readable"):
            read(tmp_path, "pretrain")


def test_a_set_may_have_no_conversations_but_not_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows of instruction"):
        num_rows(tmp_path, "instruction")
    written(tmp_path, [3], 3)
    assert num_rows(tmp_path, "instruction") == 0
    assert spread(tmp_path, "instruction", ["n"], 2).num_rows == 0
