"""Rows of a published folder: in order, from all over it, and no more read than is asked for."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.builders.rows import batches, fitting, num_rows, spread, vectors_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import CONVERSATIONS


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


def text(*values: object) -> pa.Array:
    return pa.array(values)


TURNS = [{"from": "human", "value": "What?"}]
NOT_UTF_8 = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"], pa.binary()).buffers())
NOT_ROWS = {
    "no column": ({"id": text("a")}, "no caption"),
    "a column twice": ([("caption", text("a")), ("caption", text("b"))], "2 columns of the name caption"),
    "another type": ({"caption": text([1])}, "caption has the type list<item: int64>, but a build writes string"),
    "not UTF-8": ({"caption": NOT_UTF_8}, "caption has the type string, but a build writes string: Invalid UTF8"),
    "null": ({"caption": text("a", None)}, "it, row 8: caption is or contains"),
    "another form": ({"conversations": text("a")}, "conversations has the type string, but a build writes list"),
    "no turn": ({"conversations": pa.array([TURNS, [None]], CONVERSATIONS)}, "it, row 8: conversations is or contains"),
    "no value": (
        {"conversations": pa.array([[{"from": "gpt"}]], CONVERSATIONS)},
        "it, row 7: conversations is or contains",
    ),
    "vectors of several sizes": ({"image_embedding": pa.array([[1.0], [1.0, 2.0]])}, "not vectors of one size"),
    "vectors of whole numbers": (
        {"image_embedding": pa.array([[1]], pa.list_(pa.int8(), 1))},
        "not vectors of one size",
    ),
    "vectors of nothing": ({"image_embedding": pa.array([[]], pa.list_(pa.float32(), 0))}, "not vectors of one size"),
}


@pytest.mark.parametrize("name", NOT_ROWS)
def test_what_is_no_row_of_a_build_is_told(name: str) -> None:
    columns, told = NOT_ROWS[name]
    pairs = list(columns.items()) if isinstance(columns, dict) else columns
    batch = pa.RecordBatch.from_arrays([array for _, array in pairs], names=[name for name, _ in pairs])
    wanted = pairs[0][0] if name != "no column" else "caption"
    with pytest.raises(InputError, match=told):
        fitting(batch, [wanted], "it", 7)


def test_text_of_other_types_is_taken() -> None:
    types = (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
    for kind in types:
        batch = pa.RecordBatch.from_arrays([pa.array(["a", "b"]).cast(kind)], names=["caption"])
        assert fitting(batch, ["caption"], "it").column(0).equals(pa.array(["a", "b"]))


def test_vectors_may_be_null_but_not_where_they_are_needed(tmp_path: Path) -> None:
    vectors = pa.array([[1.0, 0.0], None], pa.list_(pa.float32(), 2))
    batch = fitting(pa.RecordBatch.from_arrays([vectors], names=["image_embedding"]), ["image_embedding"], "it")
    with pytest.raises(InputError, match="1 rows have no vector"):
        vectors_of(batch)
    assert vectors_of(batch.slice(0, 1)).tolist() == [[1.0, 0.0]]
    (tmp_path / "pretrain").mkdir()
    for number, dim in enumerate((2, 3)):
        array = pa.array([[1.0] * dim], pa.list_(pa.float32(), dim))
        pq.write_table(pa.table({"image_embedding": array}), tmp_path / "pretrain" / f"train-{number}.parquet")
    for read in (lambda: list(batches(tmp_path, "pretrain", ["image_embedding"])),
                 lambda: spread(tmp_path, "pretrain", ["image_embedding"], 2)):  # fmt: skip
        with pytest.raises(InputError, match=r"train-1\.parquet: image_embedding has the type .*\[3\], but earlier"):
            read()
