"""A model's options are scored by the plain formula, its replies are read, and its card tells the score."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.builds import unicorn
from tests.emoji import FOLDER, LABELS, PICTURES
from tests.encoders.tiny_models import tiny_clip
from tests.representations.test_moments import units
from tests.vlm import write_language_model, write_model
from unicorn_hf.evaluation import Asked, evaluate_model, opened
from unicorn_hf.evaluation.answerers import Replying
from unicorn_hf.evaluation.questions import Question, normal
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.vlm import UnicornForConditionalGeneration

pytestmark = pytest.mark.slow  # It imports open_clip, and makes a CLIP.

DIM = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights."""
    here = tmp_path_factory.mktemp("model")
    for name in ("clip", "llm"):
        (here / name).mkdir()
    tiny_clip(here / "clip")
    write_language_model(here / "llm")
    torch.manual_seed(1)
    return write_model(here, here / "llm", f"clip:{here / 'clip'}")


@pytest.fixture(scope="module")
def model(folder: Path) -> UnicornForConditionalGeneration:
    return UnicornForConditionalGeneration.from_pretrained(folder, encoder=encoder_of(folder)).eval()


def encoder_of(folder: Path) -> str:
    return f"clip:{folder.parent / 'clip'}"


def log_p(model: UnicornForConditionalGeneration, vector: np.ndarray, question: str, option: str) -> float:
    """Mean log probability of the option's tokens, alone and without padding."""
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": option}]
    [tokens] = model.conversation_tokenizer()([turns])
    ids, labels, mask = (torch.from_numpy(part)[None] for part in tokens)
    with torch.no_grad():
        logits = model(ids, torch.ones_like(ids), mask, torch.from_numpy(vector)[None]).logits[0]
    places = (labels[0] != -100).nonzero()[:, 0]
    return float(torch.stack([logits[at - 1].log_softmax(0)[ids[0, at]] for at in places]).mean())


def test_options_have_the_likelihoods_of_the_plain_formula(model: UnicornForConditionalGeneration) -> None:
    vectors = np.float32(units(3, DIM))
    asked = [
        Question("What?", ("a cat",), ("a cat", "a dog that runs", "fox")),
        Question("And this one here?", ("b",), ("a", "b")),
        Question("What is it, in a word?", ("owl",), ("owl", "a rather long answer", "ox", "x")),
    ]
    gains, blind = Replying(model, "it").scores(vectors, asked, lambda done: None)
    mean = vectors.mean(axis=0)
    for number, question in enumerate(asked):
        unseen = [log_p(model, mean, question.text, option) for option in question.options]
        seen = [log_p(model, vectors[number], question.text, option) for option in question.options]
        np.testing.assert_allclose(blind[number], [unseen], atol=1e-5)
        np.testing.assert_allclose(gains[number], [np.subtract(seen, unseen)], atol=2e-5)


def test_replies_are_those_of_the_model(model: UnicornForConditionalGeneration) -> None:
    vectors = np.float32(units(20, DIM))
    asked = [Question(f"What is number {number}?", ("fox",), read=normal, max_tokens=5) for number in range(20)]
    told: list[int] = []
    seen, blind = Replying(model, "it").replies(vectors, asked, told.append)
    mean = torch.from_numpy(vectors.mean(axis=0, keepdims=True))
    for number in (0, 17):
        text = asked[number].text
        own = model.answer_vectors(torch.from_numpy(vectors[number : number + 1]), [text], max_new_tokens=5)
        assert [seen[number]] == own
        assert [blind[number]] == model.answer_vectors(mean, [text], max_new_tokens=5)
    assert told[-1] == 20


def write_pope(folder: Path) -> Path:
    """POPE's columns beside pictures."""
    with (folder / "metadata.csv").open("w", newline="") as file:
        columns = ["file_name", "question", "answer", "image_source", "category"]
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for path, label in zip(PICTURES[:4], LABELS[:4], strict=True):
            Image.open(path).save(folder / path.name)
            for thing, answer in ((label, "yes"), ("unicorn", "no")):
                question = f"Is there a {thing} in the image?"
                row = (path.name, question, answer, path.stem, "random")
                writer.writerow(dict(zip(columns, row, strict=True)))
    return folder


def test_the_command_scores_a_model_and_tells_in_its_card(folder: Path, tmp_path: Path) -> None:
    pope = write_pope(tmp_path)
    for on in (FOLDER, pope, pope):
        done = unicorn("evaluate", folder, "--on", on, "--encoder", encoder_of(folder), "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    [score] = json.loads(done.stdout).values()
    assert (score["num_pictures"], score["num_questions"], score["chance"]) == (4, 8, 50)
    assert set(score["measures"]) == {"precision", "recall", "F1", "yes"}
    scores = json.loads((folder / "config.json").read_text())["scores"]
    assert [(known["on"], known["num_questions"]) for known in scores] == [("emoji", 24), (pope.name, 8)]
    assert scores[1] == score
    card = (folder / "README.md").read_text()
    assert "## Score on real images" in card and f"| {score['accuracy']:.1f} [" in card
    assert opened(str(folder)).model is not None
    refused = unicorn("evaluate", folder, "--on", on, "--yes", cwd=tmp_path)
    assert refused.returncode == 2 and "names a file of this machine as its encoder" in refused.stderr


def test_what_is_neither_set_nor_model_is_refused(tmp_path: Path) -> None:
    done = unicorn("evaluate", tmp_path, "--on", FOLDER, cwd=tmp_path)
    assert done.returncode == 2 and "is neither a set that unicorn-hf built nor a model" in done.stderr
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    done = unicorn("evaluate", tmp_path, "--on", FOLDER, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_model_without_image_statistics_is_measured_from_many_pictures(
    model: UnicornForConditionalGeneration, tmp_path: Path
) -> None:
    for label, path in zip(LABELS[:2], PICTURES[:2], strict=True):
        (tmp_path / label).mkdir()
        Image.open(path).save(tmp_path / label / "one.png")
    assert evaluate_model(model, Asked(PictureSource(str(tmp_path), limit=9))).num_pictures == 2
