"""The code of the documentation does what it says: blocks run in the order of their page, with a Hub of the tests."""

import ast
import importlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import warm
from tests.builds import ECHO, unicorn, write_seeds
from tests.docs.blocks import ROOT, Block, blocks
from tests.emoji import PICTURES
from tests.hub.fixtures import HubClient
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import read_document

CODE = blocks("bash", "python")


def run_pages() -> list[str]:
    return sorted({block.page for block in CODE if block.is_run})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each page finds in its folder: a built set, seeds, pictures, and questions of a benchmark."""
    folder = tmp_path_factory.mktemp("pages")
    write_seeds(folder / "captions.txt")
    done = unicorn("build", *ECHO, "--captions", 40, "--instructions", 16, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "photos").mkdir()
    for picture in PICTURES[:12]:
        shutil.copy(picture, folder / "photos")
    # Trainers that docs/exchange.md adapts: the parts that read records.
    for trainer in ("llava", "llamafactory"):
        shutil.copytree(ROOT / "tests" / "trainers" / trainer, folder / trainer)
    (folder / "questions.jsonl").write_text('{"question": "What colour is the jar on the shelf?"}\n')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", run_pages())
def test_the_blocks_of_a_page_run(page: str, built: Path, hub_client: HubClient) -> None:
    home = hub_client.home
    shutil.copytree(built, home, dirs_exist_ok=True)
    tools = str(Path(sys.executable).parent)
    environment = hub_client.environment({"PATH": os.pathsep.join([tools, os.environ["PATH"]])})
    for block in (block for block in CODE if block.page == page and block.is_run):
        code = block.code.replace("ORG/NAME", f"{hub_client.hub.user}/unicorn")
        for done in _run(block, code, home, environment):
            assert done.returncode == 0, f"{block}\n{code}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def _run(
    block: Block, code: str, home: Path, environment: dict[str, str]
) -> Iterator["subprocess.CompletedProcess[str]"]:
    lines = code.replace("\\\n", " ").splitlines()
    if block.language == "python":
        yield warm.run(["-c", code], cwd=home, environment=environment)
    elif all(line.startswith("unicorn-hf ") and not set(line) & set(">|$;&") for line in lines):
        for line in lines:
            yield warm.run(shlex.split(line, comments=True)[1:], cwd=home, environment=environment)
    else:
        command = ["bash", "-euo", "pipefail", "-c", code]
        yield subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("block", [block for block in CODE if block.language == "python"], ids=str)
def test_python_names_what_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code)):
        for module, name in _imports(node):
            if module.partition(".")[0] == "unicorn_hf":
                found = importlib.import_module(module)
                assert name is None or hasattr(found, name), f"{block}: {module} has no {name}"


def _imports(node: ast.AST) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_of_a_recipe(block: Block) -> None:
    part = yaml.safe_load(block.code)
    if not set(part) <= set(Recipe.model_fields):
        assert not block.is_run, f"{block}: not of a recipe"
        return
    Recipe.model_validate(_merged(read_document("demo").data, part))


def _merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """`whole` with what `part` says; an engine or a source of another kind replaces the old one."""
    merged = dict(whole)
    for key, value in part.items():
        deeper = isinstance(value, dict) and isinstance(merged.get(key), dict) and "kind" not in value
        merged[key] = _merged(merged[key], value) if deeper else value
    return merged
