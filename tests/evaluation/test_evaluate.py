"""`unicorn-hf evaluate` tells sets apart that differ on purpose, and tells where its score was measured."""

import csv
import json
import random
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.builds import unicorn
from tests.emoji import FOLDER, LABELS, PICTURES
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import build
from unicorn_hf.cards.scores import Score
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.interchange.recipe import import_recipe

pytestmark = pytest.mark.slow  # It encodes captions and pictures, and trains proxies.

ENCODER = "open_clip:demo:minilm"
GROUNDS = {"grass": "#96cd6e", "sand": "#ebd2a0", "snow": "#ffffff", "water": "#82c3f0"}
FIRST = ("A {thing} is in the middle.", "There is a {thing}.", "The picture shows a {thing}.", "We see a {thing} here.")
SECOND = ("It is on {ground}.", "It stands on {ground}.", "It lies on {ground}.", "It rests on {ground}.")


def write_captions(path: Path, seed: int) -> Path:
    """Captions of two sentences: what is there, and on what. Another seed is another draw of them."""
    draw = random.Random(seed)
    rows = []
    for number, (thing, ground, _) in enumerate(product(LABELS, GROUNDS, range(3))):
        caption = f"{draw.choice(FIRST).format(thing=thing)} {draw.choice(SECOND).format(ground=ground)}"
        rows.append({"id": f"{seed}-{number}", "caption": caption})
    draw.shuffle(rows)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_first_sentences(path: Path, captions: Path) -> Path:
    rows = [json.loads(line) for line in captions.read_text().splitlines()]
    cut = [{**row, "caption": row["caption"].partition(". ")[0] + "."} for row in rows]
    path.write_text("\n".join(map(json.dumps, cut)))
    return path


def write_pictures(folder: Path, *, questions: bool) -> Path:
    """Each thing on each ground; with questions, about both."""
    folder.mkdir()
    draw, rows = random.Random(0), []
    for number, ((path, label), ground, place) in enumerate(
        product(zip(PICTURES, LABELS, strict=True), GROUNDS, ((8, 8), (40, 40)))
    ):
        page = Image.new("RGB", (96, 96), GROUNDS[ground])
        with Image.open(path) as thing:
            small = thing.convert("RGBA").resize((48, 48))
            page.paste(small, place, small)
        page.save(folder / f"{number:03}.png")
        others = draw.sample([other for other in LABELS if other != label], 3)
        for kind, options, answer in (("thing", [label, *others], label), ("ground", list(GROUNDS), ground)):
            said = {"question": f"Which {kind}?", "options": "|".join(options), "answer": answer, "kind": kind}
            rows.append({"file_name": f"{number:03}.png", **said})
    if questions:
        with (folder / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def shuffled(folder: Path, into: Path) -> Path:
    """The set, with each caption beside another one's vector."""
    shutil.copytree(folder, into)
    for path in sorted((into / "pretrain").glob("*.parquet")):
        rows = pq.read_table(path)
        at = rows.schema.get_field_index("image_embedding")
        order = np.random.default_rng(0).permutation(len(rows))
        pq.write_table(rows.set_column(at, rows.schema.field(at), rows.column(at).take(pa.array(order))), path)
    return into


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of captions, and pictures with questions."""
    here = tmp_path_factory.mktemp("world")
    write_pictures(here / "pictures", questions=True)
    write_pictures(here / "others", questions=False)
    done = unicorn("calibrate", "--images", "others", "--encoder", ENCODER, "--keep-vectors", 192, cwd=here)
    assert done.returncode == 0, done.stderr
    one, other = (write_captions(here / f"{seed}.jsonl", seed) for seed in (1, 2))
    for name, file in (("one", one), ("other", other), ("cut", write_first_sentences(here / "cut.jsonl", one))):
        settings = {
            "representations.transfer": "barycentric",
            "representations.image_statistics": str(here / "image_statistics.safetensors"),
            "cluster.kind": share_workers(),
        }
        build(import_recipe([file], encoder=ENCODER, overrides=settings), here / name)
    shuffled(here / "one", here / "shuffled")
    return here


@pytest.fixture(scope="module")
def scores(world: Path) -> dict[str, Score]:
    names = ("one", "other", "cut", "shuffled")
    done = unicorn("evaluate", *names, "--on", "pictures", "--json", cwd=world)
    assert done.returncode == 0, done.stderr
    return {name: Score.model_validate(score) for name, score in json.loads(done.stdout).items()}


def apart(better: Score, worse: Score) -> bool:
    return better.lower > worse.upper


def test_sets_that_differ_on_purpose_are_told_apart(scores: dict[str, Score]) -> None:
    assert apart(scores["one"], scores["cut"])
    assert apart(scores["one"], scores["shuffled"])
    assert apart(scores["cut"], scores["shuffled"])
    assert scores["shuffled"].lower < 25 < scores["shuffled"].upper


def test_two_draws_of_the_same_captions_are_not(scores: dict[str, Score]) -> None:
    assert not apart(scores["one"], scores["other"]) and not apart(scores["other"], scores["one"])


def test_what_only_later_sentences_say_is_not_learned_from_first_ones(scores: dict[str, Score]) -> None:
    assert scores["cut"].per_kind["ground"] == pytest.approx(25, abs=3)
    assert scores["one"].per_kind["ground"] > 50
    assert scores["cut"].per_kind["thing"] > 35


def test_a_score_names_its_setting(scores: dict[str, Score]) -> None:
    score = scores["one"]
    assert (score.on, score.num_pictures, score.num_questions, score.encoder) == ("pictures", 192, 384, ENCODER)
    assert score.chance == 25 and 15 < score.blind < 35
    assert len({one.setting for one in scores.values()}) == 1


def test_the_score_is_in_statistics_card_comparison_and_report(world: Path, scores: dict[str, Score]) -> None:
    assert read_statistics(world / "one" / "statistics.json").proof == (scores["one"],)
    assert f"| {scores['one'].shown} |" in (world / "one" / "README.md").read_text()
    shown = unicorn("compare", "one", "shuffled", "--markdown", cwd=world).stdout
    [line] = [line for line in shown.splitlines() if scores["one"].on_id[:6] in line]
    assert all(f"{scores[name].accuracy:.1f}" in line for name in ("one", "shuffled"))
    assert unicorn("validate", "one", cwd=world).returncode == 0
    assert unicorn("report", "one", cwd=world).returncode == 0
    assert f"{scores['one'].shown} (blind" in (world / "one-report.html").read_text()


def test_other_pictures_are_another_setting(world: Path, scores: dict[str, Score]) -> None:
    done = unicorn("evaluate", "other", "--on", FOLDER, cwd=world)
    assert done.returncode == 0 and "24 questions about 24 images of emoji" in done.stdout
    assert {score.on for score in read_statistics(world / "other" / "statistics.json").proof} == {"emoji", "pictures"}
    shown = unicorn("compare", "one", "other", "--json", cwd=world).stdout
    settings = [{score["on_id"] for score in one["proof"]} for one in json.loads(shown)["sets"]]
    assert len(settings[0]) == 1 and len(settings[1]) == 2 and settings[0] < settings[1]


def test_questions_without_options_need_a_model(world: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "one.png")
    (tmp_path / "metadata.csv").write_text("file_name,question,answer\none.png,What colour?,red\n")
    done = unicorn("evaluate", "one", "--on", tmp_path, cwd=world)
    assert done.returncode == 2 and "a set alone cannot reply to 'What colour?'" in done.stderr
    assert "Traceback" not in done.stderr


def test_pictures_without_questions_are_refused(world: Path) -> None:
    done = unicorn("evaluate", "one", "--on", "others", cwd=world)
    assert done.returncode == 2 and "others has no questions and no labels" in done.stderr
