"""Every form holds the same ids, conversations and vectors as the folder it was made of."""

import json
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.builds import ECHO, published_bytes, rows, unicorn
from tests.trainers.bunny.util.data_utils import LazySupervisedDataset as OriginalDataset
from tests.trainers.llamafactory.data.converter import examples
from unicorn_hf import InputError
from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.interchange import exports
from unicorn_hf.interchange.export import export

Row = dict[str, Any]
LOAD: dict[str, Callable[[bytes], Any]] = {"json": json.loads, "npy": lambda content: np.load(BytesIO(content))}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert unicorn("build", *ECHO, "--captions", 60, "--instructions", 25, cwd=folder).returncode == 0
    return folder / "unicorn"


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_PER_FILE", 7)


def exported(made: Path, format: str, folder: Path) -> Path:
    before = published_bytes(made)
    export(made, format, folder / "out")
    assert published_bytes(made) == before
    return folder / "out"


def listed(path: Path) -> list[Row]:
    value: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return value


def test_bunny(made: Path, tmp_path: Path) -> None:
    out = exported(made, "bunny", tmp_path)
    records = [
        record
        for path in sorted((out / "embeddings").glob("*.pkl"))
        for record in pickle.loads(path.read_bytes())  # noqa: S301
    ]
    wanted = rows(made, "pretrain")
    assert [(record["id"], record["caption"]) for record in records] == [(row["id"], row["caption"]) for row in wanted]
    for record, row in zip(records, wanted, strict=True):
        assert record["embed"].dtype == np.float32
        np.testing.assert_array_equal(record["embed"], np.float32(row["image_embedding"]))
    for config in ("pretrain", "instruction"):
        found = listed(out / f"{config}.json")
        names = ["id", "caption", "conversations"]
        assert found == [{name: row[name] for name in names} for row in rows(made, config)]


@pytest.mark.parametrize("leaves_out", [False, True], ids=["Unicorn", "ReVision"])
@pytest.mark.parametrize("config", ["pretrain", "instruction"])
def test_the_original_trainer_reads_every_record(config: str, leaves_out: bool, made: Path, tmp_path: Path) -> None:
    out = exported(made, "bunny", tmp_path)
    items = OriginalDataset(out / f"{config}.json", out / "embeddings", leaves_out=leaves_out)
    wanted = rows(made, config)
    assert len(items) == len(wanted)
    for at, row in enumerate(wanted):
        item = items[at]
        assert item is not None, "a record without a caption is none"
        assert item["text"] == [turn["value"] for turn in row["conversations"]]
        np.testing.assert_array_equal(item["embed"], np.float32(row["image_embedding"]))


@pytest.mark.parametrize("config", ["pretrain", "instruction"])
def test_llama_factory_leaves_no_record_out(config: str, made: Path, tmp_path: Path) -> None:
    found = examples(exported(made, "sharegpt", tmp_path), f"unicorn_{config}")
    for example, row in zip(found, rows(made, config), strict=True):
        texts = [*example["prompt"], *example["response"]]
        assert texts == [turn["value"] for turn in row["conversations"]]
        assert sum(text.count("<image>") for text in texts) == len(example["images"]) == 1


@pytest.mark.parametrize("config", ["pretrain", "instruction"])
def test_webdataset_reads_every_row(config: str, made: Path, tmp_path: Path) -> None:
    from webdataset import WebDataset

    tars = [str(tar) for tar in sorted((exported(made, "webdataset", tmp_path) / config).glob("*.tar"))]
    assert len(tars) > 1
    found = list(WebDataset(tars, shardshuffle=False).decode())
    assert len({sample["__key__"] for sample in found}) == len(found)
    for sample, row in zip(found, rows(made, config), strict=True):
        np.testing.assert_array_equal(sample["npy"], np.float16(row.pop("image_embedding")))
        assert sample["json"] == row


@pytest.mark.parametrize(
    ("format", "place"),
    [("llava", lambda row: row["image"]), ("sharegpt", lambda row: row["images"][0])],
)
def test_json_with_safetensors(format: str, place: Callable[[Row], str], made: Path, tmp_path: Path) -> None:
    out = exported(made, format, tmp_path)
    for config in ("pretrain", "instruction"):
        found, wanted = listed(out / f"{config}.json"), rows(made, config)
        columns = ["id", "conversations", "seed", "domain", *(["task"] if config == "instruction" else [])]
        assert [{name: row[name] for name in columns} for row in found] == [
            {name: row[name] for name in columns} for row in wanted
        ]
        for row, original in zip(found, wanted, strict=True):
            file, number = place(row).split("#")
            vectors = load_file(out / file)["embeddings"]
            assert vectors.dtype == np.float16
            np.testing.assert_array_equal(vectors[int(number)], np.float16(original["image_embedding"]))


def test_webdataset(made: Path, tmp_path: Path) -> None:
    out = exported(made, "webdataset", tmp_path)
    for config in ("pretrain", "instruction"):
        members: dict[str, dict[str, Any]] = {}
        for path in sorted((out / config).glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in tar:
                    key, _, ending = member.name.partition(".")
                    file = tar.extractfile(member)
                    assert file
                    members.setdefault(key, {})[ending] = LOAD[ending](file.read())
        wanted = rows(made, config)
        assert sorted(members) == list(members)
        for sample, row in zip(members.values(), wanted, strict=True):
            np.testing.assert_array_equal(sample["npy"], np.float16(row["image_embedding"]))
            columns = [
                "id",
                "caption",
                "conversations",
                "seed",
                "domain",
                *(["task"] if config == "instruction" else []),
            ]
            assert sample["json"] == {column: row[column] for column in columns}


@pytest.mark.parametrize("format", EXPORTS.own_names)
def test_the_same_set_gives_the_same_files(format: str, made: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(made, format, tmp_path / name)
    first, second = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two"))
    assert len(first) == len(second) > 2
    for one, two in zip(first, second, strict=True):
        assert one.relative_to(tmp_path / "one") == two.relative_to(tmp_path / "two")
        assert one.read_bytes() == two.read_bytes()


def test_what_is_there_is_left_alone(made: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        export(made, "bunny", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_without_a_set(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no rows of pretrain"):
        export(tmp_path / "empty", "llava", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(made: Path, tmp_path: Path) -> None:
    done = unicorn("export", made, "--format", "llava", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(listed(tmp_path / "out" / "pretrain.json")) == 60
    again = unicorn("export", made, "--format", "llava", "--out", "out", cwd=tmp_path)
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_nothing_of_it_is_imported_before_it_is_needed() -> None:
    code = "import sys, unicorn_hf.interchange.export; print('safetensors' in sys.modules, 'datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
