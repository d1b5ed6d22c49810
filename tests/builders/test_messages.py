"""The column `messages`: in the shards, in the card's features, checked by validate, loaded by datasets."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builds import write_seeds
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import build, load_recipe
from unicorn_hf.builders.validate import validate_folder
from unicorn_hf.core.messages import as_messages


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messages")
    recipe = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt", 30))}],
        "captions.num": 12,
        "instructions.num": 6,
        "representations.encoder": "hashing:8",
        "packaging.messages": True,
        "cluster.kind": share_workers(),
    }
    build(load_recipe("demo", recipe), folder / "unicorn")
    return folder / "unicorn"


@pytest.mark.parametrize("config", ["pretrain", "instruction"])
def test_messages_say_what_the_conversations_say(made: Path, config: str) -> None:
    from datasets import load_dataset

    rows = load_dataset(str(made), config, split="train")
    assert len(rows) == {"pretrain": 12, "instruction": 6}[config]
    for row in rows:
        assert row["messages"] == as_messages(row["conversations"])


def test_it_is_valid_and_other_messages_are_not(made: Path) -> None:
    assert validate_folder(made).valid
    path = next((made / "instruction").glob("*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[2]["messages"][1]["content"][0]["text"] = "Something else."
    path.unlink()  # Not through the link: the work folder's file stays.
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    report = validate_folder(made)
    assert json.loads(report.model_dump_json())["valid"] is False
    problems = {kind.kind: kind.first for kind in report.problems}
    assert set(problems) == {"messages", "hash"}
    assert [(problem.row, problem.field) for problem in problems["messages"]] == [(2, "messages")]
