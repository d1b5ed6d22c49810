"""The example package is installed in an environment of its own and used; without it, what to install is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builds import rows, unicorn
from tests.docs.blocks import ROOT
from tests.test_params import completed

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "plugin"
PACKAGE, VERSION = "unicorn-hf-example", "0.1.0"
INSTALL = f"pip install {PACKAGE}=={VERSION}"
NAMES = ("objects", "dummy", "commas", "colours", "why", "letters", "half_shift", "lines")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the example in it, as pip installs it, without network."""
    folder = tmp_path_factory.mktemp("installed")
    # From a copy: a build leaves files beside the sources.
    shutil.copytree(EXAMPLE, folder / "source")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", "packages", "./source"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "packages"


@pytest.fixture(scope="module")
def place(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with the set that was built of the example's recipe."""
    folder = tmp_path_factory.mktemp("user")
    done = with_it(installed, folder, "build", EXAMPLE / "recipe.yaml", "--out", "set")
    assert done.returncode == 0, done.stderr
    return folder


def environment(installed: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(installed)])}


def with_it(installed: Path, folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return unicorn(*arguments, cwd=folder, **environment(installed))


def recipe_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "recipe.yaml").read_text())
    return found


def test_it_is_small() -> None:
    files = [EXAMPLE / "pyproject.toml", *(EXAMPLE / "src").rglob("*.py")]
    assert sum(len(file.read_text().splitlines()) for file in files) < 150


def test_its_recipe_names_one_of_each_kind() -> None:
    recipe = (EXAMPLE / "recipe.yaml").read_text()
    assert [name for name in NAMES if f"{PACKAGE}:{name}" not in recipe] == ["lines"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("unicorn-hf build --engine uni", f"{PACKAGE}:dummy"),
        ("unicorn-hf build --encoder uni", f"{PACKAGE}:letters"),
        ("unicorn-hf build --transfer uni", f"{PACKAGE}:half_shift"),
        ("unicorn-hf export --format uni", f"{PACKAGE}:lines"),
    ],
)
def test_help_and_completion_list_its_choices(line: str, word: str, installed: Path, tmp_path: Path) -> None:
    assert completed(line, tmp_path, **environment(installed)) == [f"plain,{word}"]
    help = with_it(installed, tmp_path, line.split()[1], "--help").stdout
    assert word in "".join(help.split())


def test_a_build_takes_all_of_them(place: Path) -> None:
    made = rows(place / "set", "pretrain")
    assert len(made) == 12
    assert all(row["caption"].startswith(f"There is {row['seed']}, and soft light") for row in made)
    assert {len(row["image_embedding"]) for row in made} == {26}
    assert {row["task"] for row in rows(place / "set", "instruction")} == {f"{PACKAGE}:colours"}


def test_the_set_names_the_package_and_its_version(place: Path, installed: Path) -> None:
    assert recipe_of(place / "set")["plugins"] == {PACKAGE: VERSION}
    card = (place / "set" / "README.md").read_text()
    assert f"The build used other packages: {PACKAGE} {VERSION}" in card
    assert f"{PACKAGE}=={VERSION}" in card.partition("## Rebuild it")[2]
    assert "v = u - mean(u) / 2" in card
    assert with_it(installed, place, "validate", "set").returncode == 0


def test_its_export_format_is_written(place: Path, installed: Path) -> None:
    done = with_it(installed, place, "export", "set", "--format", f"{PACKAGE}:lines", "--out", "lines")
    assert done.returncode == 0, done.stderr
    captions = (place / "lines" / "captions.txt").read_text().splitlines()
    assert captions == [row["caption"] for row in rows(place / "set", "pretrain")]


def test_its_filters_reject_under_their_names(place: Path, installed: Path) -> None:
    recipe = yaml.safe_load((EXAMPLE / "recipe.yaml").read_text())
    recipe["captions"]["filters"][f"{PACKAGE}:commas"]["max_commas"] = 0
    (place / "strict.yaml").write_text(yaml.safe_dump(recipe))
    done = with_it(installed, place, "build", "strict.yaml", "--out", "strict")
    assert done.returncode == 1
    assert f"{PACKAGE}:commas" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("way", ["recipe", "--from"])
def test_the_published_recipe_makes_the_set_again(way: str, place: Path, installed: Path) -> None:
    given = ["set/recipe.yaml"] if way == "recipe" else ["--from", "set", "--captions", 10, "--instructions", 4]
    done = with_it(installed, place, "build", *given, "--out", f"again-{way}")
    assert done.returncode == 0, done.stderr
    first = rows(place / "set", "pretrain")
    again = rows(place / f"again-{way}", "pretrain")
    assert [row["caption"] for row in again] == [row["caption"] for row in first[: len(again)]]


@pytest.mark.parametrize(
    "command",
    [
        ["build", EXAMPLE / "recipe.yaml", "--dry-run"],
        ["build", "set/recipe.yaml", "--out", "other"],
        ["build", "--from", "set", "--out", "other"],
        ["doctor", "set/recipe.yaml"],
        ["validate", "set"],
        ["card", "set"],
        ["export", "set", "--format", f"{PACKAGE}:lines", "--out", "other"],
    ],
    ids=lambda command: f"{command[0]} {command[1]}".replace(str(EXAMPLE), "example"),
)
def test_without_the_package_what_to_install_is_said(command: list[object], place: Path) -> None:
    before = {path: path.read_bytes() for path in (place / "set").rglob("*") if path.is_file()}
    done = unicorn(*command, cwd=place, PYTHONPATH=str(ROOT))
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2), said
    assert "Traceback" not in said
    assert PACKAGE in said
    if command[0] != "export":
        assert "is not installed" in said
    if "set" in str(command[1]) and command[0] != "export":
        assert INSTALL in said
    assert not (place / "other").exists()
    assert {path: path.read_bytes() for path in (place / "set").rglob("*") if path.is_file()} == before


def test_a_set_can_be_looked_at_without_the_package(place: Path) -> None:
    for command in (["inspect", "set"], ["export", "set", "--format", "llava", "--out", "llava"]):
        done = unicorn(*command, cwd=place, PYTHONPATH=str(ROOT))
        assert done.returncode == 0, done.stderr


def test_a_recipe_imports_nothing_that_is_not_a_choice(place: Path, tmp_path: Path) -> None:
    """Neither a module that is there and no entry point, nor an entry point of another group."""
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    metadata = tmp_path / "trap-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trap\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[other.group]\nobjects = trap:Objects\n[unicorn_hf.exports]\nx = trap:X\n"
    )
    text = (place / "set" / "recipe.yaml").read_text().replace(PACKAGE, "trap")
    shutil.copytree(place / "set", tmp_path / "set")
    (tmp_path / "set" / "recipe.yaml").write_text(text)
    done = with_it(tmp_path, tmp_path, "build", "set/recipe.yaml", "--out", "other")
    assert done.returncode == 2
    assert "the package trap 1.0 does not provide it" in done.stderr
    assert not (tmp_path / "sprung").exists()
