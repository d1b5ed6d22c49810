"""Tables of the documentation that name choices name those that there are."""

import re
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from unicorn_hf.core.choices import EXPORTS, SOURCES
from unicorn_hf.core.registry import Registry

TABLES: dict[tuple[str, str], Registry[Any]] = {
    ("exchange.md", "form"): EXPORTS,
    ("seeds.md", "kind"): SOURCES,
}
"""The registry whose names are the first column of a page's table, by the page and the head of that column."""


@pytest.mark.parametrize(("page", "head"), TABLES, ids=str)
def test_a_table_names_each_choice_once(page: str, head: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (rows,) = re.findall(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert sorted(re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)) == sorted(TABLES[page, head].own_names)
