"""Rows that share text with an evaluation set are counted, and told in the card."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builds import ECHO, rows, unicorn
from unicorn_hf.builders.overlap import RUN_WORDS, EvaluationTexts
from unicorn_hf.core.units import counted

QUESTION = "What is the man in the red coat holding in his left hand?"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (QUESTION, True),
        ("Here the man in the RED coat, holding in his arms a dog", True),
        ("The man in the red coat holding his left hand", False),
        ("red jar", True),
        ("A red jar", False),
        ("A shelf with a red jar on it", False),
        ("", False),
    ],
)
def test_a_run_of_words_or_the_whole_of_a_short_text(text: str, found: bool) -> None:
    assert EvaluationTexts([QUESTION, "Red jar!", "", "..."]).overlap(text) == found


def test_texts_without_words_are_no_texts() -> None:
    assert EvaluationTexts(["", "  ", "...", "a"]).num == 1
    assert not EvaluationTexts([""]).overlap("")


@given(
    st.lists(st.sampled_from("abcd"), min_size=RUN_WORDS, max_size=20), st.lists(st.sampled_from("abcd"), max_size=30)
)
def test_it_agrees_with_looking_for_each_run(item: list[str], text: list[str]) -> None:
    runs = [item[start : start + RUN_WORDS] for start in range(len(item) - RUN_WORDS + 1)]
    shared = any(text[start : start + RUN_WORDS] in runs for start in range(len(text) - RUN_WORDS + 1))
    assert EvaluationTexts([" ".join(item)]).overlap(" ".join(text)) == shared


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert unicorn("build", *ECHO, "--captions", 40, "--instructions", 12, cwd=folder).returncode == 0
    return folder


def test_the_command_counts_and_tells_the_card(made: Path) -> None:
    published = made / "unicorn"
    conversations = rows(published, "instruction")
    caption = rows(published, "pretrain")[0]
    answer = next(row for row in conversations if row["task"] == "question_answering")
    texts = [caption["caption"], caption["seed"], answer["conversations"][3]["value"]]
    (made / "benchmark.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    done = unicorn("overlap", published, "--with", "benchmark.jsonl", cwd=made)

    assert done.returncode == 0, done.stderr
    facts = json.loads((published / "statistics.json").read_text())["overlaps"]
    assert [(found["name"], found["num_texts"], found["run_words"]) for found in facts] == [("benchmark.jsonl", 3, 8)]
    assert facts[0]["num_pretrain"] >= 1
    assert facts[0]["num_instruction"] >= 1
    assert f"{counted(facts[0]['num_pretrain'], 'row')} of pretrain" in done.stdout
    assert caption["id"] in done.stdout
    assert f"| benchmark.jsonl | 3 | {facts[0]['num_pretrain']} |" in (published / "README.md").read_text()
    assert unicorn("validate", published, cwd=made).returncode == 0

    (made / "other.txt").write_text("nothing that is in it at all, not in the least\n")
    for name in ("Another set", "Another set"):
        done = unicorn("overlap", published, "--with", "other.txt", "--name", name, "--json", cwd=made)
        told = json.loads(done.stdout)
        assert (told["name"], told["num_texts"], told["num_pretrain"], told["examples"]) == (name, 1, 0, [])
    found = json.loads((published / "statistics.json").read_text())["overlaps"]
    assert [(one["name"], one["num_pretrain"]) for one in found] == [
        ("Another set", 0),
        ("benchmark.jsonl", facts[0]["num_pretrain"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["unicorn", "--with", "missing.txt"], "missing.txt"),
        (["unicorn", "--with", "empty.txt"], "no text in empty.txt"),
        (["unicorn", "--with", "ORG/NAME"], "--column is required"),
        (["unicorn", "--with", "table.csv"], "Specify the column of the texts with --column NAME."),
        ([".", "--with", "empty.txt"], "not a folder that unicorn-hf built"),
    ],
)
def test_mistakes_are_told(arguments: list[str], says: str, made: Path) -> None:
    (made / "empty.txt").write_text("\n")
    (made / "table.csv").write_text("id,question\n1,What is it?\n")
    done = unicorn("overlap", *arguments, cwd=made)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_card_says_when_nothing_was_compared(made: Path, tmp_path: Path) -> None:
    assert unicorn("build", *ECHO, "--captions", 20, "--instructions", 2, cwd=tmp_path).returncode == 0
    card = (tmp_path / "unicorn" / "README.md").read_text()
    assert "Rows were not compared with any evaluation set" in card
    assert "They found none." in card
