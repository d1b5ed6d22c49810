"""Marks of personal data are found where they are, and not in what only looks like them."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.builders.personal import KINDS, kinds_in, rows_with
from unicorn_hf.core.schemas import instruction


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Write to jane.doe+x@mail.example.org.", {"e-mail address"}),
        ("Call 212-555-0187 ext", {"phone number"}),
        ("A sign reads (212) 736-5000 below the awning", {"phone number"}),
        ("+49 30 901820 on the van", {"phone number"}),
        ("server 8.8.8.8 on a label", {"IP address"}),
        ("server 2001:4860:4860::8888 on a label", {"IP address"}),
        ("192.168.0.1 is nobody's", set()),
        ("version 1.2.3.4.5 and 300.1.1.1", set()),
        ("a shirt with @jane_doe on it", {"user name"}),
        ("5 apples @ 3 dollars, at @ 2", set()),
        ("a clock that shows 12:45:30, in 2019", set()),
        ("between 1914 and 1918, 10,000 to 20,000 people", set()),
        ("a scoreboard of 3:2 and a grid of 1920 x 1080", set()),
        ("a number plate B-MW 1234567 and a bar code 4006381333931", set()),
        ("", set()),
    ],
)
def test_kinds(text: str, kinds: set[str]) -> None:
    assert kinds_in(text) == kinds


SCHEMA = instruction(2, "float16").remove(3)


def row(caption: str = "A jar.", seed: str = "jar", *values: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": value} for value in values]
    return {"id": "0", "caption": caption, "conversations": turns, "seed": seed, "domain": "d", "task": "t"}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def test_a_row_counts_once_for_each_kind() -> None:
    both = "me@example.org, again me@example.org, and @some_one"
    rows = table(
        row(), row(both, "jar", "who is me@example.org?"), row("x", "@seed_name"), row("x", "y", "z", "8.8.8.8")
    )
    assert rows_with(rows) == {"e-mail address": 1, "user name": 2, "IP address": 1}
    assert rows_with(rows.slice(2)) == {"user name": 1, "IP address": 1}
    assert rows_with(rows.to_batches()[0]) == rows_with(rows)


def test_what_is_null_holds_nothing() -> None:
    assert rows_with(table(dict.fromkeys(SCHEMA.names), row() | {"conversations": [None]})) == {}


@given(st.text(), st.sampled_from(["jo@example.org", "+49 30 901820", "8.8.8.8", "@some_one"]), st.text())
def test_what_python_would_find_arrow_lets_through(before: str, mark: str, after: str) -> None:
    text = f"{before} {mark} {after}".encode(errors="ignore").decode()
    assert rows_with(table(row(text))) == dict.fromkeys(kinds_in(text), 1)
    assert kinds_in(text) <= KINDS.keys()
