"""The demonstration on its real models: vLLM writes, open_clip encodes. In CI none of this may be skipped."""

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import unicorn_hf
from tests.builds import command, rows
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.recipe_file import BUNDLED
from unicorn_hf.core.scoring import parse_score
from unicorn_hf.runtime.answers import AnswerStore

pytestmark = [pytest.mark.real, pytest.mark.slow]

PACKAGE = Path(unicorn_hf.__file__).parent
NUM_CAPTIONS, NUM_INSTRUCTIONS = 20, 3
PARTITION_ROWS = 16


def small_demo(folder: Path) -> Path:
    """The bundled demonstration with fewer rows."""
    recipe = yaml.safe_load((BUNDLED / "demo.yaml").read_text())
    recipe["partition_rows"] = PARTITION_ROWS
    recipe["captions"]["num"], recipe["instructions"]["num"] = NUM_CAPTIONS, NUM_INSTRUCTIONS
    # So few captions need more attempts for each task's number.
    recipe["instructions"] |= {"attempts": 3, "judge": {"min_score": 1}}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        command("build", small_demo(folder)),
        cwd=folder, capture_output=True, text=True, timeout=900, preexec_fn=_with_one_core,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "told.txt").write_text(done.stdout)
    assert _num_stored(folder) == len(_stored(folder)), "an answer is stored twice"
    return folder


def _with_one_core() -> None:
    """Other tests use the rest: two threads that wait for each other take longer, of all cores together."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _stored(folder: Path) -> dict[str, Answer]:
    return dict(entry for store in _stores(folder) for entry in store.all())


def _stores(folder: Path) -> list[AnswerStore]:
    return [AnswerStore(path) for path in (folder / "unicorn.work" / "answers").glob("*")]


def _num_stored(folder: Path) -> int:
    return sum(store.count() for store in _stores(folder))


def test_counts_and_tasks(made: Path) -> None:
    pretrain, instruction = rows(made / "unicorn", "pretrain"), rows(made / "unicorn", "instruction")
    assert (len(pretrain), len(instruction)) == (NUM_CAPTIONS, NUM_INSTRUCTIONS)
    assert {row["task"] for row in instruction} == {"multiple_choice", "question_answering", "complex_reasoning"}
    assert {row["id"] for row in instruction} <= {row["id"] for row in pretrain}


def test_no_text_of_a_conversation_is_the_packages(made: Path) -> None:
    ours = package_strings()
    for row in rows(made / "unicorn", "instruction"):
        for text in texts(row):
            # Short options ("red", "on top of the hill") are anybody's.
            if len(text.split()) > 5 or text.endswith("?"):
                assert plain(text) not in ours


def test_conversations_have_the_pairs_that_the_recipe_asks_for(made: Path) -> None:
    recipe = yaml.safe_load((made / "unicorn" / "recipe.yaml").read_text())
    for row in rows(made / "unicorn", "instruction"):
        pairs = recipe["instructions"]["tasks"][row["task"]]["pairs"]
        assert pairs["min"] <= len(row["conversations"]) // 2 <= pairs["max"]


def test_every_conversation_was_scored(made: Path) -> None:
    said = [answer.text for answer in _stored(made).values()]
    scored = [text for text in said if '"score"' in text and parse_score(text)]
    assert len(scored) >= len(rows(made / "unicorn", "instruction"))


def test_vectors_are_the_encoders_with_the_mean_taken_away(made: Path) -> None:
    from unicorn_hf.core.encoder import resolve_encoder

    captions = rows(made / "unicorn", "pretrain")
    encoder = resolve_encoder("open_clip:demo:minilm", 32).open()
    text = encoder.encode([row["caption"] for row in captions]).vectors.astype(np.float64)
    shifted = text - text.mean(axis=0)
    wanted = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)
    found = np.array([row["image_embedding"] for row in captions], dtype=np.float64)
    assert np.abs(found - wanted).max() < 2e-3
    encoder.close()


def test_it_says_that_the_models_are_for_demonstration(made: Path) -> None:
    assert "Do not train on it" in (made / "told.txt").read_text()
    card = (made / "unicorn" / "README.md").read_text()
    assert "smollm2" in card.lower()
    assert "not training data" in card


def texts(row: dict[str, Any]) -> Iterator[str]:
    """Questions, options and answers of a conversation, as the model wrote them."""
    for turn in row["conversations"]:
        lines = turn["value"].removeprefix("<image>\n").split("\n")
        yield from (re.sub(r"^[A-D]\. ", "", line) for line in lines)


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def package_strings() -> set[str]:
    """Every string that the package holds: in code, prompts and recipes, whole and by sentence."""
    found: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        found += [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    for path in PACKAGE.rglob("*.yaml"):
        found += strings_in(yaml.safe_load(path.read_text()))
    return {plain(part) for text in found for part in (text, *re.split(r"(?<=[.!?])\s+|\n", text))}


def strings_in(value: Any) -> list[str]:
    match value:
        case str() if value.startswith('{"'):
            return [value, *strings_in(json.loads(value))]
        case str():
            return [value]
        case dict():
            return [text for item in value.values() for text in strings_in(item)]
        case list():
            return [text for item in value for text in strings_in(item)]
        case _:
            return []
