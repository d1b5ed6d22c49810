"""The architecture page names every part of the package, in the order of the layers that import-linter checks."""

import re
import tomllib

from tests.docs.blocks import ROOT

PACKAGE = ROOT / "unicorn_hf"


def rows() -> list[list[str]]:
    """The parts that each row of the table of layers names in its first cell."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Layers, top to bottom")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return [re.findall(r"`(\w+)(?:\.py|/)`", cell) for cell in cells]


def layers() -> list[list[str]]:
    """The parts of each layer, as import-linter reads them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    found = [re.findall(r"unicorn_hf\.(\w+)", layer) for layer in settings["contracts"][0]["layers"]]
    return [[name for name in layer if not name.startswith("__")] for layer in found]


def test_every_part_of_the_package_is_in_the_table() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    parts = {name for name in modules | packages if not name.startswith("__")}
    named = [name for row in rows() for name in row]
    assert sorted(named) == sorted(parts)


def test_the_table_has_the_order_of_the_layers() -> None:
    level = {name: number for number, layer in enumerate(layers()) for name in layer}
    order = [level[name] for row in rows() for name in row]
    assert order == sorted(order)
