"""`push_folder` with the real clients, through everything that a Hub and the way to it can do."""

import json
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.fixtures import HubClient
from tests.hub.server import Fault, HubServer

REPO = "unicorn-maker/unicorn"
NUM_SHARDS = 3
ROWS_PER_SHARD = 40
CARD = """\
---
license: apache-2.0
tags: [unicorn]
configs:
- config_name: pretrain
  default: true
  data_files: pretrain/train-*.parquet
- config_name: instruction
  data_files: instruction/train-*.parquet
---
# Unicorn
"""
RECIPE = "seeds: {}\ncaptions:\n  num: 3\nrepresentations:\n  encoder: hashing:4\n"

PUSH = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from unicorn_hf.core.errors import UnicornError
from unicorn_hf.hub import push_folder
folder, repo_id, options = sys.argv[1:]
notes = []
def tell(progress):
    if progress.note:
        notes.append(progress.note)
try:
    result = push_folder(Path(folder), repo_id, on_progress=tell, first_wait_s=0.05, **json.loads(options))
    print(json.dumps({**asdict(result), "notes": notes}))
except UnicornError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error), "notes": notes}))
"""


@dataclass(frozen=True)
class Pushed:
    """What a push in a process of its own gave back."""

    error: str = ""
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def push(client: HubClient, folder: Path, repo_id: str = REPO, *, env: dict[str, str | None] | None = None, **options: Any) -> Pushed:
    process = client.run(PUSH, str(folder), repo_id, json.dumps(options), **(env or {}))
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert client.hub.token not in process.stdout
    found = json.loads(process.stdout)
    if "error" in found:
        return Pushed(found["error"], found["message"], notes=found["notes"])
    return Pushed(result=found, notes=found.pop("notes"))


def write_shard(path: Path, first_row: int, num_rows: int = ROWS_PER_SHARD) -> None:
    ids = [f"{n:05d}" for n in range(first_row, first_row + num_rows)]
    pq.write_table(pa.table({"id": ids, "caption": [f"caption {i}" for i in ids]}), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small built data set, with things beside it that are nobody's business."""
    folder = tmp_path / "unicorn"
    for config in ("pretrain", "instruction"):
        (folder / config).mkdir(parents=True)
        for n in range(NUM_SHARDS):
            write_shard(folder / config / f"train-{n:05d}-of-{NUM_SHARDS:05d}.parquet", n * ROWS_PER_SHARD)
    (folder / "assets").mkdir()
    (folder / "work").mkdir()
    for path, text in {
        "README.md": CARD,
        "recipe.yaml": RECIPE,
        "statistics.json": "{}",
        "transfer.safetensors": "8bytes!!",
        "assets/gap.png": "not really a picture",
    }.items():
        (folder / path).write_text(text)
    return folder


def published(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_holds(hub: HubServer, folder: Path, repo_id: str = REPO) -> None:
    held = hub.files(repo_id)
    assert {path: held[path] for path in held if path != ".gitattributes"} == published(folder)


def test_first_push(hub: HubServer, hub_client: HubClient, folder: Path) -> None:
    pushed = push(hub_client, folder)
    print(pushed)
    for s in hub.seen: print(s)
    assert_holds(hub, folder)
