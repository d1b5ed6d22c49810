"""A record means that its shards are whole, and of these inputs."""

import json
import logging
from pathlib import Path

import pytest

from unicorn_hf.core.recipe import Sampling
from unicorn_hf.runtime.steps import Record, Step


class Counted(Record):
    """A stage's record."""

    number: int = 3


class Other(Record):
    """Another version of it."""

    amount: int


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step.of(tmp_path, "captions", "configuration")


def finish(step: Step, partition: str = "000", inputs: str = "inputs", content: bytes = b"rows") -> Counted:
    step.folder.mkdir(exist_ok=True)
    for kind in ("captions", "rejections"):
        step.shard(partition, kind).write_bytes(content)
    return step.finish(partition, Counted(inputs=inputs, num_bytes=step.sizes(partition, "captions", "rejections")))


def test_a_folder_is_named_by_its_configuration(tmp_path: Path) -> None:
    step = Step.of(tmp_path, "captions", Sampling(), 3)
    assert step == Step.of(tmp_path, "captions", Sampling(), 3)
    assert step.folder.parent == tmp_path
    assert step.folder.name.startswith("captions-")
    others = [
        Step.of(tmp_path, "captions", Sampling(temperature=0.1), 3),
        Step.of(tmp_path, "captions", Sampling(), 4),
        Step.of(tmp_path, "answers", Sampling(), 3),
    ]
    assert len({step.folder, *(other.folder for other in others)}) == 4
    assert not step.folder.exists(), "naming makes nothing"


def test_what_cannot_be_hashed_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot fingerprint"):
        Step.of(tmp_path, "captions", object())


def test_a_finished_partition_is_found_and_only_that(step: Step) -> None:
    assert step.find("000", "inputs", Counted) is None
    record = finish(step)
    assert step.find("000", "inputs", Counted) == record
    assert record.num_bytes == {"captions": 4, "rejections": 4}
    assert step.find("001", "inputs", Counted) is None


def test_shards_without_a_record_are_not_found(step: Step) -> None:
    step.folder.mkdir()
    step.shard("000", "captions").write_bytes(b"rows")
    assert step.find("000", "inputs", Counted) is None


def test_a_record_of_other_inputs_is_no_record(step: Step) -> None:
    finish(step)
    assert step.find("000", "others", Counted) is None


def test_after_other_inputs_were_looked_for_the_old_ones_are_not_found_beside_new_shards(step: Step) -> None:
    """Killed between shards and record, then the inputs change back: sizes alone would not tell."""
    finish(step)
    assert step.find("000", "others", Counted) is None
    step.shard("000", "captions").write_bytes(b"new!")
    assert step.find("000", "inputs", Counted) is None


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_shard_is_not_found_and_is_told(step: Step, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    finish(step)
    if damage == "cut":
        step.shard("000", "rejections").write_bytes(b"r")
    else:
        step.shard("000", "rejections").unlink()
    with caplog.at_level(logging.WARNING):
        assert step.find("000", "inputs", Counted) is None
    assert "has changed since it was written" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"inputs": "inputs"}', '{"inputs": "inputs", "num_bytes": {}, "x": 1}']
)
def test_a_damaged_record_is_not_found_and_is_told(step: Step, content: str, caplog: pytest.LogCaptureFixture) -> None:
    finish(step)
    (record,) = step.folder.glob("*.json")
    record.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert step.find("000", "inputs", Counted) is None
    assert "is damaged" in caplog.text
    finish(step)
    assert step.find("000", "inputs", Counted)


def test_a_record_of_another_version_is_not_found(step: Step, caplog: pytest.LogCaptureFixture) -> None:
    finish(step)
    with caplog.at_level(logging.WARNING):
        assert step.find("000", "inputs", Other) is None
    assert "of another version" in caplog.text


def test_a_record_with_one_figure_changed_is_not_found(step: Step) -> None:
    finish(step)
    (record,) = step.folder.glob("*.json")
    content = record.read_text()
    assert json.loads(content)["number"] == 3, "a record can be read by anybody"
    record.write_text(content.replace("3", "4", 1))
    assert step.find("000", "inputs", Counted) is None


def test_a_partition_that_is_forgotten_is_not_found(step: Step) -> None:
    for partition in ("000", "001"):
        finish(step, partition)
    Step.record_of(step.shard("000", "vectors.arrow")).unlink()
    assert step.find("000", "inputs", Counted) is None
    assert step.find("001", "inputs", Counted)


def test_records_are_written_last_and_whole(step: Step) -> None:
    finish(step)
    assert sorted(path.name for path in step.folder.iterdir()) == [
        "000.captions.parquet",
        "000.json",
        "000.rejections.parquet",
    ]
