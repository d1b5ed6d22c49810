"""Sets that earlier forms of the code published are read by every command, and built on."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.builds import ECHO, SHARED, rows, unicorn
from unicorn_hf.cli import main

FORMS = sorted((Path(__file__).parent / "golden" / "published").iterdir())


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(request.param, tmp_path / "set")


def run(*arguments: object) -> None:
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 0, f"{arguments[0]}: {done.output}"


def test_every_command_that_reads_sets_takes_it(earlier: Path, tmp_path: Path) -> None:
    before = (earlier / "statistics.json").read_bytes()
    run("card", earlier)
    run("validate", earlier)
    run("inspect", earlier)
    run("compare", earlier, FORMS[-1])
    run("report", earlier, "--out", tmp_path / "report.html")
    run("export", earlier, "--format", "llava", "--out", tmp_path / "llava")
    assert "load_dataset" in (earlier / "README.md").read_text()
    assert (earlier / "statistics.json").read_bytes() == before
    assert len(json.loads((tmp_path / "llava/instruction.json").read_text())) == 4


def test_its_text_is_encoded_anew_and_its_recipe_written_again(earlier: Path) -> None:
    folder = earlier.parent
    done = unicorn("build", "--from", "set", "--encoder", "hashing:6", "--out", "moved", *SHARED, cwd=folder)
    assert done.returncode == 0, done.stderr
    captions = [(row["id"], row["caption"]) for row in rows(folder / "moved", "pretrain")]
    assert captions == [(row["id"], row["caption"]) for row in rows(earlier, "pretrain")]

    (folder / "seeds.txt").write_text("\n".join(row["seed"] for row in rows(earlier, "pretrain")))
    done = unicorn("build", earlier / "recipe.yaml", "--seeds", "seeds.txt", *ECHO, "--out", "written", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(rows(folder / "written", "pretrain")) == 8
    recipe = yaml.safe_load((folder / "written/recipe.yaml").read_text())
    assert recipe["captions"]["num"] == 8
