"""CONTRIBUTING.md tells where each kind of change goes, and those places are there."""

import re

import pytest

from tests.docs.blocks import ROOT
from unicorn_hf.core import choices
from unicorn_hf.core.registry import Registry

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WHERE = TEXT.partition("## Where a change goes")[2].partition("\n## ")[0]
PACKAGE = ROOT / "unicorn_hf"
REGISTRIES = sorted(name for name, found in vars(choices).items() if isinstance(found, Registry))


@pytest.mark.parametrize("name", REGISTRIES)
def test_it_says_where_each_kind_of_choice_is_added(name: str) -> None:
    (row,) = [line for line in WHERE.splitlines() if f"`@{name}.register`" in line]
    home = getattr(choices, name).home.removeprefix("unicorn_hf.").replace(".", "/")
    assert f"`{home}/" in row


def test_the_places_that_it_names_are_there() -> None:
    named = re.findall(r"`((?:\w+/)*(?:\w+\.(?:py|yaml|j2)|\w+/))`", WHERE)
    assert len(named) > 20
    places = {re.sub(r"NAME\.\w+$", "", name) for name in named}
    # Paths are relative to the package; examples lie beside it.
    assert [place for place in sorted(places) if not any((at / place).exists() for at in (PACKAGE, ROOT))] == []


def test_base_classes_are_where_it_says() -> None:
    named = re.findall(r"`(\w+)` in `([\w/]+\.py)`", WHERE)
    assert len(named) >= len(REGISTRIES)
    for name, module in named:
        assert re.search(rf"^class {name}\b", (PACKAGE / module).read_text("utf-8"), re.MULTILINE), name
