"""The builder on built folders and on the original release, and what hostile files in the release's place come to."""

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.originals import item, release, zipped
from tests.hub.fixtures import ROOT
from unicorn_hf.builders import original
from unicorn_hf.builders.unicorn import Unicorn, UnreadableError
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import instruction, pretrain

NAME = "Unicorn-1.2M.json.zip"
PEAK_MB = 100


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def loaded(cache: str, config: str, **options: Any) -> datasets.Dataset:
    builder = Unicorn(config_name=config, cache_dir=cache, **options)
    builder.download_and_prepare()
    return builder.as_dataset("train")


def write_release(folder: Path, **numbers: int) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in release(**numbers).items():
        (folder / name).write_bytes(content)
    return folder


def write_shards(folder: Path, num_rows: int = 5) -> Path:
    for config, schema in (("pretrain", pretrain(4, "float16")), ("instruction", instruction(4, "float16"))):
        (folder / config).mkdir(parents=True, exist_ok=True)
        for shard in range(2):
            rows = [
                {
                    "id": f"{shard}-{n}",
                    "caption": f"A cup, {n}.",
                    "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cup."}],
                    "image_embedding": [1.0, 0.0, 0.5, float(n)],
                    "seed": "a cup",
                    "domain": "open",
                    "task": "multiple_choice",
                }
                for n in range(num_rows)
            ]
            pq.write_table(pa.Table.from_pylist(rows, schema), folder / config / f"train-{shard:05d}-of-00002.parquet")
    return folder


def test_it_has_the_two_configs() -> None:
    assert list(Unicorn.builder_configs) == ["pretrain", "instruction"]
    assert issubclass(Unicorn, datasets.DatasetBuilder)


@pytest.mark.parametrize("config", ["pretrain", "instruction"])
def test_the_release_becomes_rows_of_our_schema(tmp_path: Path, cache: str, config: str) -> None:
    rows = loaded(cache, config, data_dir=write_release(tmp_path / "x", num_pretrain=7, num_instruction=5))
    ours = (pretrain if config == "pretrain" else instruction)(4, "float16").names
    assert rows.column_names == [name for name in ours if name != "image_embedding"]
    assert rows.num_rows == (7 if config == "pretrain" else 5)
    assert rows["id"][:3] == ["coco_0", "1", "coco_2"]
    assert rows[3]["caption"] == item(3)["caption"]
    assert rows[3]["conversations"] == item(3)["conversations"]
    assert {rows[3][name] for name in rows.column_names[3:]} == {None}


def test_built_shards_are_read_in_order_and_only_the_columns_asked_for(tmp_path: Path, cache: str) -> None:
    folder = write_shards(tmp_path / "built")
    rows = loaded(cache, "instruction", data_dir=folder)
    assert rows["id"] == [f"{shard}-{n}" for shard in range(2) for n in range(5)]
    assert rows[9]["image_embedding"] == [1.0, 0.0, 0.5, 4.0]
    assert loaded(cache, "instruction", data_dir=folder, columns=["task", "id"]).column_names == ["task", "id"]
    with pytest.raises(InputError, match="no column colour"):
        loaded(cache, "pretrain", data_dir=folder, columns=["colour"])


def test_changed_files_are_read_again(tmp_path: Path, cache: str) -> None:
    folder = write_release(tmp_path / "x", num_pretrain=3, num_instruction=3)
    assert loaded(cache, "pretrain", data_dir=folder).num_rows == 3
    write_release(folder, num_pretrain=4, num_instruction=3)
    assert loaded(cache, "pretrain", data_dir=folder).num_rows == 4
    built = write_shards(tmp_path / "built")
    assert loaded(cache, "pretrain", data_dir=built).num_rows == 10
    write_shards(built, num_rows=6)
    assert loaded(cache, "pretrain", data_dir=built).num_rows == 12


def test_streaming_and_several_processes(tmp_path: Path, cache: str) -> None:
    folder = write_shards(tmp_path / "built")
    builder = Unicorn(config_name="pretrain", cache_dir=cache, data_dir=folder)
    streamed = builder.as_streaming_dataset("train")
    assert streamed.num_shards == 2
    builder.download_and_prepare(num_proc=2)
    assert list(streamed) == list(builder.as_dataset("train"))


def test_a_folder_with_nothing_to_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains nothing of the config pretrain"):
        Unicorn(data_dir=tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        Unicorn(data_dir=tmp_path / "absent")


def test_the_unzipped_file_is_read_too(tmp_path: Path, cache: str) -> None:
    (tmp_path / "Unicorn-1.2M.json").write_text(json.dumps([item(0), item(1)]), encoding="utf-8-sig")
    assert loaded(cache, "pretrain", data_dir=tmp_path)["id"] == ["coco_0", "1"]


class Trickle(io.RawIOBase):
    """Gives some bytes at a time, however many are asked for."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content = io.BytesIO(content)
        self._sizes = sizes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._sizes.append(self._sizes.pop(0))
        return self._content.read(self._sizes[-1])


VALUES = st.recursive(
    st.text(max_size=9) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=4) | st.lists(VALUES) | st.text(), max_size=6)


@given(MEMBERS, st.lists(st.integers(1, 7), min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_items_are_the_lists_wherever_reads_end(
    members: list[Any], sizes: list[int], escaped: bool, indent: int | None
) -> None:
    text = json.dumps(members, ensure_ascii=escaped, indent=indent)
    try:
        content = text.encode()
    except UnicodeEncodeError:  # lone surrogates are tested below
        return
    assert list(original.items(Trickle(content, sizes), "x")) == members  # type: ignore[arg-type]


def changed(**changes: Any) -> bytes:
    """Three items, the third with changes; a change to None takes the field away."""
    third = {key: value for key, value in (item(2) | changes).items() if value is not None}
    return json.dumps([item(0), item(1), third]).encode()


WRONG: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "empty": (b"", "found the end of the file"),
    "an object": (b'{"id": 1}', "expected a JSON list of items, found '{"),
    "HTML": (b"<html>Not found</html>", "expected a JSON list of items, found '<html>"),
    "numbers": (b"[1, 2]", "item 1: expected an object with id, caption and conversations, found a number"),
    "no caption": (changed(caption=None), 'item 3: "caption" is missing'),
    "id a truth value": (changed(id=True), 'item 3, field "id": expected a string or a whole number, found a truth'),
    "id a fraction": (changed(id=1.5), 'item 3, field "id": expected a string or a whole number, found a number'),
    "caption a list": (changed(caption=["a"]), 'item 3, field "caption": expected a string, found a list'),
    "turns a string": (changed(conversations="x"), 'field "conversations": expected a list, found a string'),
    "turn a string": (changed(conversations=["x"]), 'field "conversations", turn 1: expected an object'),
    "turn without value": (
        changed(conversations=[{"from": "gpt"}]),
        'turn 1, "value": expected a string, found nothing',
    ),
    "half a surrogate": (changed(caption="\ud800"), 'item 3, field "caption": half a surrogate pair'),
    "cut off": (changed()[:-200], "item 3: not JSON, or truncated: Unterminated string"),
    "no closing bracket": (changed()[:-1], "expected a comma after item 3, found the end of the file"),
    "no comma": (b'["a" "b"]', "item 1: expected an object"),
    "more after the end": (changed() + b"[]", "unexpected text after the list: '[]'"),
    "not UTF-8": (b'["\xff"]', "not UTF-8 text"),
    "JSON lines": (b'{"id": 1}\n{"id": 2}', "expected a JSON list of items"),
    "deep": (b"[" * 100_000, "item 1: nested too deeply"),
    "deep in a field": (b'[{"id": ' + b'{"a":' * 100_000, "item 1: nested too deeply"),
    "a number of a million digits": (b'[{"id": ' + b"9" * 1_000_000 + b"}]", "item 1: not readable"),
    "a long string": (lambda: b'["' + b"ab" * 30_000_000 + b'"]', "item 1: not JSON, or longer than 4,194,304 char"),
    "a zip bomb": (lambda: b"[" + b" " * 300_000_000 + b"]", "possibly a zip bomb"),
}


def wrong(kind: str) -> bytes:
    content, _ = WRONG[kind]
    return zipped(content if isinstance(content, bytes) else content())


def rows_of(content: bytes) -> list[Any]:
    return [row for table in original.tables(io.BytesIO(content), NAME, "pretrain") for row in table.to_pylist()]


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_told_with_file_item_and_field(kind: str) -> None:
    with pytest.raises(InputError) as raised:
        rows_of(wrong(kind))
    assert WRONG[kind][1] in str(raised.value)
    assert str(raised.value).startswith(NAME)
    assert raised.value.advice.startswith("Get the file again")


def two_files() -> bytes:
    content = io.BytesIO(zipped(b"[]"))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("other.json", "[]")
    return content.getvalue()


def many_files() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}.json", "[]")
    return content.getvalue()


def encrypted() -> bytes:
    content = bytearray(zipped(b"[]"))
    place = content.index(b"PK\x01\x02") + 8
    content[place : place + 2] = struct.pack("<H", 1)
    return bytes(content)


def damaged() -> bytes:
    content = bytearray(zipped(changed()))
    content[len(content) // 3] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: b"version https://git-lfs.github.com/spec/v1\n", "not a zip archive, or a damaged one"),
        (lambda: zipped(changed())[:-300], "not a zip archive, or a damaged one"),
        (damaged, "Unicorn-1.2M.json.zip"),
        (two_files, "expected one .json file in the archive, found 2"),
        (lambda: zipped(b"[]", "readme.txt"), "expected one .json file in the archive, found 0"),
        (many_files, "its table of contents is too large"),
        (encrypted, "it is encrypted"),
    ],
)
def test_what_is_wrong_with_the_archive_is_told(make: Callable[[], bytes], said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows_of(make())


def test_hostile_files_take_little_memory(tmp_path: Path) -> None:
    """All of them one after the other in a process of its own, its peak less what the imports take."""
    for kind in WRONG:
        (tmp_path / f"{kind}.zip").write_bytes(wrong(kind))
    code = """
import re, sys
from pathlib import Path
from unicorn_hf.builders import original
from unicorn_hf.core.errors import InputError
# Not getrusage: its peak counts what the process that started this one had.
peak_mb = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
before, refused = peak_mb(), 0
for path in Path(sys.argv[1]).glob("*.zip"):
    try:
        with path.open("rb") as file:
            list(original.tables(file, path.name, "pretrain"))
    except InputError:
        refused += 1
print(refused, peak_mb() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    refused, peak_mb = map(int, done.stdout.split())
    assert refused == len(WRONG)
    assert peak_mb < PEAK_MB


def test_datasets_lets_the_error_through(tmp_path: Path, cache: str) -> None:
    (tmp_path / NAME).write_bytes(zipped(changed(caption=3)))
    with pytest.raises(UnreadableError, match='item 3, field "caption"'):
        loaded(cache, "pretrain", data_dir=tmp_path)
