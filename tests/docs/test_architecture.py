"""The page about the architecture names what is there, and names all of it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "unicorn_hf"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`((?:[a-z_0-9]+/)+(?:[a-z_0-9]+\.py)?|[a-z_0-9]+\.py)`", TEXT))
"""Folders and modules, as in `core/` and `runtime/work.py`."""


def test_what_it_names_is_there() -> None:
    assert len(NAMED) > 20
    assert [name for name in sorted(NAMED) if not (PACKAGE / name).exists()] == []


def test_every_folder_and_module_at_the_top_is_named() -> None:
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert sorted((folders | modules) - NAMED) == []


def test_classes_are_where_it_says() -> None:
    found = re.findall(r"`([A-Z]\w+)`(?: and `([A-Z]\w+)`)? (?:in |\()`([a-z_/0-9]+\.py)`", TEXT)
    named = [(name, path) for *names, path in found for name in filter(None, names)]
    assert len(named) > 5
    classes = {
        path: re.findall(r"^class (\w+)", (PACKAGE / path).read_text("utf-8"), re.MULTILINE) for _, path in named
    }
    assert [(name, path) for name, path in named if name not in classes[path]] == []


def test_its_table_has_the_layers_in_the_order_that_import_linter_checks() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [re.findall(r"unicorn_hf\.([a-z]\w*)", layer) for layer in settings["contracts"][0]["layers"]]
    level = {name: number for number, layer in enumerate(layers) for name in layer}
    table = TEXT.partition("## Layers, top to bottom")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)(?:\.py|/)`", cell)]
    assert sorted(named) == sorted(level)
    assert named == sorted(named, key=level.__getitem__)
