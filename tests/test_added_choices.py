"""A choice that is added is one class: the command, recipes, the card and the documentation know it without more."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.builds import rows, unicorn
from tests.docs.blocks import ROOT
from tests.test_params import completed

pytestmark = pytest.mark.slow

# Python imports a module of this name when it starts, in worker processes too: as if the classes were in the package.
ADDED = '''
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from unicorn_hf.captions.filters import CaptionFilter
from unicorn_hf.core.choices import (
    CAPTION_FILTERS, CONVERSATION_FILTERS, ENCODERS, ENGINES, EXPORTS, SOURCES, TASKS, TRANSFERS,
)
from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.engine import AnyEngine
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.core.task import PairRange, PromptChoice, Weight
from unicorn_hf.instructions.filters import ANY_TEXT, ConversationFilter
from unicorn_hf.instructions.tasks import QuestionFamily
from unicorn_hf.interchange.exports import BuiltSet, ExportFormat
from unicorn_hf.representations.transfers import Transfer


@SOURCES.register("counted")
class Counted(SeedSource):
    """Jars on a shelf, one after the other."""

    taken_keys = ("number",)
    kind: Literal["counted"]
    number: int

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        return islice((f"a jar number {number} on a shelf" for number in range(self.number)), self.limit)


@ENGINES.register("parrot")
class Parrot(AnyEngine):
    """Says what the rehearsal's engine says."""

    kind: Literal["parrot"]
    model: str
    loudness: int = 1

    packages = ("click",)
    modules = ("absent_parrot",)
    options = {"model": "--llm MODEL"}
    taken_keys = ("model",)

    def open(self, model: str):
        from unicorn_hf.engines.generators.echo import EchoGenerator

        return EchoGenerator()


@ENCODERS.register("turned")
@dataclass(frozen=True, slots=True)
class Turned(AnyEncoder):
    """Hashed words, turned round."""

    forms = {"DIM": "hashed words, turned round"}
    uses_gpu = False
    has_image_side = False
    packages = ("jinja2",)

    dim: int

    @classmethod
    def parse(cls, rest: str):
        return cls(int(rest))

    def identity(self) -> str:
        return fingerprint("turned", self.dim)

    def open(self, batch_size, long_captions):
        from unicorn_hf.encoders.hashing import HashingEncoder

        return HashingEncoder(self.dim)


@EXPORTS.register("lines")
class Lines(ExportFormat):
    """Captions alone, one a line."""

    def write(self, data: BuiltSet, out: Path) -> None:
        captions = (row["caption"] for row in data.rows("pretrain", ["caption"]))
        (out / "captions.txt").write_text("".join(f"{caption}\\n" for caption in captions), encoding="utf-8")


@TRANSFERS.register("doubled")
@dataclass(frozen=True)
class Doubled(Transfer):
    """`doubled`: v = 2 y."""

    formula = "v = 2 u"
    image_formula = "2 x"
    unit_norm = False
    card_text = "made twice as long"

    @classmethod
    def fit(cls, statistics):
        return cls()

    def mover(self, ids):
        def move(block, _):
            block *= 2

        return move

    def apply_image(self, vectors):
        return vectors * 2


@CAPTION_FILTERS.register("odd_number")
class OddNumber(CaptionFilter):
    """A caption is of an even jar, unless odd ones may be."""

    odd_jars: bool = True

    def check(self, draft):
        odd = int(draft.seed.split()[3]) % 2
        return draft.seed if odd and not self.odd_jars else None


@CONVERSATION_FILTERS.register("long_question")
class LongQuestion(ConversationFilter):
    """A question has few letters."""

    max_letters: PositiveInt = 1000

    def check(self, turn, scene):
        return turn.question if len(turn.question) > self.max_letters else None


@TASKS.register("small_talk")
class SmallTalk(QuestionFamily):
    """A question and an answer."""

    weight: Weight = 300.0
    pairs: PairRange = PairRange(min=1, max=2)
    prompt: PromptChoice = Prompt(version="small-talk-1", system="Write {pairs}. {format}", user="{subject}")
    max_answer: ClassVar[int] = 300
    checks: ClassVar[tuple[str, ...]] = (*ANY_TEXT, "long_question")
'''
RECIPE = """
name: added
seeds: {sources: [{kind: counted, number: 60}]}
engine: {kind: parrot, model: org/loud, loudness: 3}
captions: {num: 12, filters: {odd_jars: false}}
instructions: {num: 10, tasks: {small_talk: {filters: {max_letters: 900}}}}
representations: {encoder: "turned:16", transfer: doubled}
cluster: {workers: 1}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the added classes, a recipe that names them, and the set that was built of it."""
    folder = tmp_path_factory.mktemp("added")
    (folder / "sitecustomize.py").write_text(ADDED)
    (folder / "mine.yaml").write_text(RECIPE)
    done = run(folder, "build", "mine.yaml", "--out", "set")
    assert done.returncode == 0, done.stderr
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def run(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return unicorn(*arguments, cwd=folder, **environment(folder))


def test_the_card_and_the_recipe_name_a_source(place: Path) -> None:
    assert len(rows(place / "set", "pretrain")) == 12
    assert "60  counted (open-domain, unknown)" in (place / "set" / "README.md").read_text()
    published = yaml.safe_load((place / "set" / "recipe.yaml").read_text())
    assert published["seeds"]["sources"][0]["number"] == 60
    assert published["plugins"] == {}
    assert run(place, "validate", "set").returncode == 0


def test_what_was_added_made_the_rows(place: Path) -> None:
    assert all(int(row["seed"].split()[3]) % 2 == 0 for row in rows(place / "set", "pretrain"))
    lengths = [np.linalg.norm(row["image_embedding"]) for row in rows(place / "set", "pretrain")]
    np.testing.assert_allclose(lengths, 2, atol=1e-2)
    talks = [row for row in rows(place / "set", "instruction") if row["task"] == "small_talk"]
    assert len(talks) == 4  # 300 of 770, of ten.
    assert all(len(row["conversations"]) <= 4 for row in talks)


def test_the_card_and_the_statistics_tell_of_it(place: Path) -> None:
    card = (place / "set" / "README.md").read_text()
    for text in (
        "transfer doubled: v = 2 u", "made twice as long\n(`doubled`", "small_talk: json", "prompt small-talk-1",
        "| small&#95;talk | 4 |", "| caption | odd&#95;number |", "and move real images in the same way",
    ):  # fmt: skip
        assert text in card
    published = yaml.safe_load((place / "set" / "recipe.yaml").read_text())
    assert published["captions"]["filters"]["odd_jars"] is False
    assert published["instructions"]["tasks"]["small_talk"]["filters"]["max_letters"] == 900


def test_a_transfer_is_in_help_completion_and_the_table(place: Path) -> None:
    assert "|doubled]" in "".join(run(place, "build", "--help").stdout.split())
    assert completed("unicorn-hf build --transfer do", place, **environment(place)) == ["plain,doubled"]


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("transfer: doubled", "transfer: dobled", "representations.transfer: write none, "),
        ("transfer: doubled", "transfer: dobled", "did you mean doubled?"),
        ("odd_jars: false", "odd_jar: false", "unknown key captions.filters.odd_jar; did you mean odd_jars?"),
        ("odd_jars: false", "odd_jars: 3", "captions.filters.odd_jars: write true or false (got 3)"),
        ("max_letters: 900", "max_letters: 0", "filters.max_letters: write a whole number above 0 (got 0)"),
        ("max_letters: 900", "without: [long_qestion]", "did you mean long_question?"),
        ("small_talk:", "smal_talk:", "unknown key instructions.tasks.smal_talk; did you mean small_talk?"),
    ],
)
def test_messages_about_recipes_know_them(good: str, bad: str, says: str, place: Path) -> None:
    (place / "wrong.yaml").write_text(RECIPE.replace(good, bad))
    assert says in " ".join(run(place, "build", "wrong.yaml", "--dry-run").stderr.split())


def test_a_published_recipe_brings_the_keys_that_the_source_names(place: Path) -> None:
    done = run(place, "build", "set/recipe.yaml", "--out", "again")
    assert done.returncode == 0, done.stderr
    assert rows(place / "again", "pretrain") == rows(place / "set", "pretrain")


def test_wrong_keys_of_a_source_are_told(place: Path) -> None:
    (place / "wrong.yaml").write_text(RECIPE.replace("number", "nmber"))
    done = run(place, "build", "wrong.yaml", "--dry-run")
    assert done.returncode == 2
    assert "seeds.sources.0.number: this key is missing: write a whole number" in done.stderr
    assert "seeds.sources.0.nmber; did you mean number?" in done.stderr
    (place / "wrong.yaml").write_text(RECIPE.replace("counted", "conted"))
    assert "did you mean counted?" in run(place, "build", "wrong.yaml", "--dry-run").stderr


def test_the_card_and_the_recipe_name_an_engine_and_an_encoder(place: Path) -> None:
    card = (place / "set" / "README.md").read_text()
    for words in ("model org/loud", "text side of turned:16", "click==", "jinja2=="):
        assert words in card
    published = yaml.safe_load((place / "set" / "recipe.yaml").read_text())
    assert published["engine"] == {"kind": "parrot", "model": "org/loud", "loudness": 3}
    assert published["representations"]["encoder"] == "turned:16"


def test_keys_of_an_engine_that_are_not_named_are_left_aside(place: Path) -> None:
    done = run(place, "build", "set/recipe.yaml", "--out", "quiet")
    assert done.returncode == 0, done.stderr
    assert "ignored keys of the published recipe: engine.loudness" in done.stderr
    assert yaml.safe_load((place / "quiet" / "recipe.yaml").read_text())["engine"]["loudness"] == 1


def test_an_engine_and_an_encoder_are_in_help_and_completion_and_are_taken(place: Path) -> None:
    told = " ".join(run(place, "build", "--help").stdout.split())
    assert re.search(r"--engine \[[^]]*parrot[^]]*\]", told)
    assert re.search(r"--encoder \[[^]]*turned:DIM[^]]*\]", told)
    assert completed("unicorn-hf build --engine p", place, **environment(place)) == ["plain,parrot"]
    assert completed("unicorn-hf build --encoder t", place, **environment(place)) == ["plain,turned:"]
    planned = run(
        place, "build", "mine.yaml", "--engine", "parrot", "--llm", "org/soft", "--encoder", "turned:4", "--dry-run"
    )
    assert planned.returncode == 0, planned.stderr
    assert "parrot org/soft" in planned.stdout
    assert "Add --llm MODEL" in run(place, "build", "demo", "--engine", "parrot", "--dry-run").stderr
    wrong = run(place, "build", "mine.yaml", "--encoder", "turn:4", "--dry-run").stderr
    assert "Did you mean turned:...?" in wrong
    assert "turned:DIM " in wrong


def test_the_doctor_looks_for_what_an_engine_imports(place: Path) -> None:
    done = run(place, "doctor", "mine.yaml", "--json")
    checkup = json.loads(done.stdout)
    assert done.returncode == 1
    assert "not installed: absent_parrot" in [finding["message"] for finding in checkup["findings"]]
    assert checkup["packages"]["click"]


def test_a_format_is_in_help_and_completion_and_is_written(place: Path) -> None:
    told = " ".join(run(place, "export", "--help").stdout.split())
    assert "lines: Captions alone, one a line" in told
    assert completed("unicorn-hf export --format li", place, **environment(place)) == ["plain,lines"]
    done = run(place, "export", "set", "--format", "lines", "--out", "lines")
    assert done.returncode == 0, done.stderr
    captions = (place / "lines" / "captions.txt").read_text(encoding="utf-8").splitlines()
    assert captions == [row["caption"] for row in rows(place / "set", "pretrain")]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("cli.md", "lines: Captions alone, one a line"),
        ("cli.md", "`doubled`"),
        ("cli.md", "`parrot`"),
        ("cli.md", "turned:DIM"),
        ("representations.md", "| `doubled` | v = 2 u | 2 x | no |"),
    ],
)
def test_pages_list_what_was_added(page: str, words: str, place: Path) -> None:
    code = "import sys; from scripts.docs_hooks import on_page_markdown; print(on_page_markdown(sys.stdin.read()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=(ROOT / "docs" / page).read_text(),
        env={**os.environ, **environment(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert words in done.stdout
