"""The independent checker passes an echo build, finds what is wrong, and imports nothing of ours."""

import ast
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builds import write_seeds
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import build, load_recipe

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "check_build.py"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_build", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checked")
    recipe = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt", 80))}],
        "captions.num": 60,
        "instructions.num": 45,
        "representations.encoder": "hashing:8",
        "packaging.messages": True,
        "cluster.kind": share_workers(),
    }
    build(load_recipe("demo", recipe), folder / "unicorn")
    return folder / "unicorn"


def test_it_imports_nothing_of_ours() -> None:
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.startswith(("unicorn_hf", "tests")) for name in names)


def test_every_row_of_a_build_passes(made: Path, checker: ModuleType) -> None:
    assert checker.check_folder(made) == ({"pretrain": 60, "instruction": 45}, {})


def first(rows: list[Row], task: str) -> list[Row]:
    return next(row for row in rows if row["task"] == task)["conversations"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "config", "change"),
    [
        ("<image> not once", "instruction", lambda rows: rows[0]["conversations"][1].update(value="<image> a")),
        ("roles", "instruction", lambda rows: rows[0]["conversations"].reverse()),
        ("not a caption of pretrain", "instruction", lambda rows: rows[0].update(id="x")),
        ("id twice", "pretrain", lambda rows: rows[0].update(id=rows[1]["id"])),
        ("not answered with the caption", "pretrain", lambda rows: rows[3]["conversations"][1].update(value="b")),
        ("unknown task", "instruction", lambda rows: rows[0].update(task="poetry")),
        ("number of pairs", "instruction", lambda rows: rows[0]["conversations"].__delitem__(slice(2, None))),
        ("answer is no letter", "instruction", lambda rows: first(rows, "multiple_choice")[1].update(value="E")),
        (
            "options not distinct",
            "instruction",
            lambda rows: first(rows, "multiple_choice")[2].update(value="What?\nA. a\nB. a.\nC. c\nD. d"),
        ),
        ("no options", "instruction", lambda rows: first(rows, "multiple_choice")[2].update(value="What?")),
        ("talk", "instruction", lambda rows: first(rows, "question_answering")[1].update(value="Red, as stated.")),
        (
            "question twice",
            "instruction",
            lambda rows: first(rows, "question_answering")[2].update(
                value=first(rows, "question_answering")[0]["value"].removeprefix("<image>\n")
            ),
        ),
        ("messages", "instruction", lambda rows: rows[0]["messages"][1].update(role="user")),
        ("empty text", "pretrain", lambda rows: rows[0].update(seed=" ")),
    ],
)
def test_what_is_wrong_is_found(
    kind: str, config: str, change: Callable[[list[Row]], object], made: Path, checker: ModuleType, tmp_path: Path
) -> None:
    folder = shutil.copytree(made, tmp_path / "unicorn")
    path = next((folder / config).glob("*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    path.unlink()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    _, found = checker.check_folder(folder)
    assert kind in found


def test_what_is_not_accounted_for_is_found(made: Path, checker: ModuleType, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "unicorn")
    path = folder / "statistics.json"
    facts = json.loads(path.read_text())
    facts["instructions"]["num_candidates"] += 1
    facts["instruction"]["answer_letters"]["A"] += 1
    path.write_text(json.dumps(facts))
    _, found = checker.check_folder(folder)
    assert set(found) == {"not accounted for", "letters"}
