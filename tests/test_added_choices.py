"""A choice that is added is one class: the command, recipes, the card and the documentation know it without more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.builds import rows, unicorn
from tests.docs.blocks import ROOT
from tests.test_params import completed

# Python imports a module of this name when it starts, in worker processes too: as if the classes were in the package.
ADDED = '''
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from unicorn_hf.core.choices import EXPORTS, SOURCES
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.interchange.exports import BuiltSet, ExportFormat


@SOURCES.register("counted")
class Counted(SeedSource):
    """Jars on a shelf, one after the other."""

    taken_keys = ("number",)
    kind: Literal["counted"]
    number: int

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        return islice((f"a jar number {number} on a shelf" for number in range(self.number)), self.limit)


@EXPORTS.register("lines")
class Lines(ExportFormat):
    """Captions alone, one a line."""

    def write(self, data: BuiltSet, out: Path) -> None:
        captions = (row["caption"] for row in data.rows("pretrain", ["caption"]))
        (out / "captions.txt").write_text("".join(f"{caption}\\n" for caption in captions), encoding="utf-8")
'''
RECIPE = """
name: added
seeds: {sources: [{kind: counted, number: 60}]}
engine: {kind: echo}
captions: {num: 12}
instructions: {num: 5}
representations: {encoder: "hashing:16"}
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


def test_a_format_is_in_help_and_completion_and_is_written(place: Path) -> None:
    told = " ".join(run(place, "export", "--help").stdout.split())
    assert "lines: Captions alone, one a line" in told
    assert completed("unicorn-hf export --format li", place, **environment(place)) == ["plain,lines"]
    done = run(place, "export", "set", "--format", "lines", "--out", "lines")
    assert done.returncode == 0, done.stderr
    captions = (place / "lines" / "captions.txt").read_text(encoding="utf-8").splitlines()
    assert captions == [row["caption"] for row in rows(place / "set", "pretrain")]


def test_the_page_of_commands_lists_a_format(place: Path) -> None:
    code = "import sys; from scripts.docs_hooks import on_page_markdown; print(on_page_markdown(sys.stdin.read()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=(ROOT / "docs" / "cli.md").read_text(),
        env={**os.environ, **environment(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lines: Captions alone, one a line" in done.stdout
