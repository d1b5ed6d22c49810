"""What is counted of rows: the same however they are cut into parts."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.builders.figures import OTHER, QUESTION_WORDS, ShardStatistics, WordFacts
from unicorn_hf.core.schemas import instruction

SCHEMA = instruction(2, "float16").remove(3)


def row(task: str, *pairs: tuple[str, str], caption: str = "A red jar.", domain: str = "d") -> dict[str, Any]:
    turns = [
        {"from": sender, "value": text} for pair in pairs for sender, text in zip(("human", "gpt"), pair, strict=True)
    ]
    return {"id": "0", "caption": caption, "conversations": turns, "seed": "s", "domain": domain, "task": task}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def test_rows_are_counted() -> None:
    choices = [("<image>\nWhat is it?\nA. a\nB. b", "A"), ("What's that?", "C"), ("HOW many?", "A")]
    answers = [("<image>\nIs it red?", "A"), ("\n Zebra?", "No."), ("", "")]
    found = ShardStatistics.of(
        table(row("multiple_choice", *choices), row("question_answering", *answers, caption="Two.", domain="e"))
    )
    assert found.model_dump() == {
        "num_rows": 2,
        "num_turns": 6,
        "caption_words": {1: 1, 3: 1},
        "per_domain": {"d": 1, "e": 1},
        "per_task": {"multiple_choice": 1, "question_answering": 1},
        "turns": {3: 2},
        "question_words": {"how": 1, "is": 1, OTHER: 3, "what": 1},
        "answer_letters": {"A": 2, "C": 1},
        "personal": {},
    }


def test_descriptions_have_no_questions() -> None:
    found = ShardStatistics.of(table(row("x", ("<image>\nWhat is it?", "A jar."))).drop_columns(["task"]))
    assert (found.num_turns, found.question_words, found.answer_letters, found.per_task) == (1, {}, {}, {})


def test_what_is_null_is_left_out() -> None:
    nothing = dict.fromkeys(SCHEMA.names)
    broken = row("multiple_choice", ("What?", "A")) | {"conversations": [{"from": None, "value": None}, None, None]}
    found = ShardStatistics.of(table(nothing, broken))
    assert (found.num_rows, found.num_turns, found.caption_words) == (2, 1, {3: 1})


rows = st.builds(
    row,
    st.sampled_from(["multiple_choice", "question_answering"]),
    st.tuples(st.sampled_from([*sorted(QUESTION_WORDS)[:4], "zebra", ""]), st.sampled_from("ABCDx")),
    caption=st.integers(0, 30).map(lambda number: "word " * number),
    domain=st.sampled_from("ab"),
)


@given(st.lists(rows, min_size=1, max_size=12), st.data())
def test_parts_add_up(found: list[dict[str, Any]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(found)))
    whole = ShardStatistics.of(table(*found))
    parts = [ShardStatistics.of(table(*part)) for part in (found[:cut], found[cut:])]
    assert ShardStatistics.merged(parts) == whole
    assert ShardStatistics.model_validate_json(whole.model_dump_json()) == whole
    lengths = sorted(len(one["caption"].split()) for one in found)
    words_of = WordFacts.of(whole.caption_words)
    assert words_of.mean == pytest.approx(sum(lengths) / len(lengths), abs=0.0051)
    assert (words_of.min, words_of.median, words_of.max) == (lengths[0], lengths[(len(lengths) - 1) // 2], lengths[-1])
    assert sum(part.num for part in words_of.histogram) == len(found)


@pytest.mark.parametrize(
    ("counts", "spans"),
    [
        ({}, [(0, 9, 0)]),
        ({7: 2, 25: 1}, [(0, 9, 2), (10, 19, 0), (20, 29, 1)]),
        ({5: 1, 700: 3}, [(0, 19, 1), *((at, at + 19, 0) for at in range(20, 700, 20)), (700, 719, 3)]),
    ],
)
def test_the_histogram_has_no_gap_and_few_spans(counts: dict[int, int], spans: list[tuple[int, int, int]]) -> None:
    assert [(part.first, part.last, part.num) for part in WordFacts.of(counts).histogram] == spans


def test_questions_without_end_are_not_read_to_it() -> None:
    long = "w" * 5_000_000
    assert ShardStatistics.of(table(row("question_answering", (long, long)))).question_words == {OTHER: 1}
