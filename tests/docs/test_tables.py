"""Tables of the documentation that name choices name those that there are."""

import re
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from unicorn_hf.core.choices import (
    CAPTION_FILTERS,
    CONVERSATION_FILTERS,
    ENCODERS,
    ENGINES,
    EXPORTS,
    SOURCES,
    TASKS,
)
from unicorn_hf.core.plugins import REGISTRIES
from unicorn_hf.core.registry import Registry

TABLES: dict[tuple[str, str], Registry[Any]] = {
    ("engines.md", "kind"): ENGINES,
    ("exchange.md", "format"): EXPORTS,
    ("representations.md", "`representations.encoder`"): ENCODERS,
    ("seeds.md", "kind"): SOURCES,
    ("instructions.md", "task"): TASKS,
}
"""The registry whose names are the first column of a page's table, by the page and the head of that column.

What follows the name in a cell is another form of the same choice, or its argument after a colon."""


def test_the_page_for_extensions_names_each_group() -> None:
    groups = re.findall(r"^\| [\w ]+ \| `([\w.]+)` \|", (ROOT / "docs" / "extend.md").read_text(), re.MULTILINE)
    assert sorted(groups) == sorted(registry.group for registry in REGISTRIES)


@pytest.mark.parametrize(("page", "head"), TABLES, ids=str)
def test_a_table_names_each_choice_once(page: str, head: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (rows,) = re.findall(rf"^\| {head} \|.*\n\|[-|:]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert sorted(re.findall(r"^\| `([^`:]+)", rows, re.MULTILINE)) == sorted(TABLES[page, head].own_names)


@pytest.mark.parametrize(
    ("page", "filters"),
    [("captions.md", CAPTION_FILTERS), ("instructions.md", CONVERSATION_FILTERS)],
    ids=["captions", "conversations"],
)
def test_a_table_tells_what_each_filter_rejects(page: str, filters: Registry[Any]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (rows,) = re.findall(r"^\| reason \|.*\n\|[-|:]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    first = " ".join(row.split("|")[1] for row in rows.splitlines())
    assert set(filters.own_names) <= set(re.findall(r"`([^`]+)`", first))
