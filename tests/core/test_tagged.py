"""Pairs as tagged lines: what is written is read back, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core import tagged
from unicorn_hf.core.outcome import Rejected

TAGS = ("question", "answer")
ONE = [{"question": ["What is red?"], "answer": ["The dog."]}]
LINE = st.text(st.characters(exclude_categories=["C", "Z", "P", "S"]), min_size=1, max_size=12)


def reason(text: str, tags: tuple[str, ...] = TAGS, *, cut: bool = False) -> str | None:
    found = tagged.read(text, tags, cut=cut)
    if isinstance(found, Rejected):
        assert found.detail and len(found.detail) <= 200
        return found.reason
    return None


@given(st.lists(st.tuples(LINE, LINE), min_size=1, max_size=5))
def test_what_is_written_is_read_back(pairs: list[tuple[str, str]]) -> None:
    fields = [{"question": question, "answer": answer} for question, answer in pairs]
    assert tagged.read(tagged.write(fields), TAGS) == [{name: [text] for name, text in pair.items()} for pair in fields]


@given(st.lists(st.lists(LINE, min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_last_field_may_have_many_texts(lists: list[list[str]]) -> None:
    found = tagged.read(tagged.write([{"question": "What?", "wrong": texts} for texts in lists]), ("question", "wrong"))
    assert found == [{"question": ["What?"], "wrong": texts} for texts in lists]


def test_the_form() -> None:
    pairs = [{"question": "What?", "right": "a", "wrong": ["b", "c\nd"]}, {"question": "Where?"}]
    assert tagged.write(pairs) == "Question: What?\nRight: a\nWrong: b\nWrong: c d\n\nQuestion: Where?"


@pytest.mark.parametrize(
    "text",
    [
        "Question: What is red?\nAnswer: The dog.",
        "\n\nQuestion: What is red?\n\nAnswer: The dog.\n\n",
        "Sure, here you go:\n\nQuestion: What is red?\nAnswer: The dog.",
        "question: What is red?\nANSWER: The dog.",
        "Question 1: What is red?\nAnswer 1: The dog.",
        "1. Question: What is red?\n   Answer: The dog.",
        "**Question:** What is red?\n**Answer:** The dog.",
        "**Question 1**: What is red?\n- Answer: The dog.",
        "Question:What is red?\r\nAnswer:  The dog.",
    ],
)
def test_what_models_like_around_a_tag_is_taken_away(text: str) -> None:
    assert tagged.read(text, TAGS) == ONE


@pytest.mark.parametrize(
    "text",
    [
        "Question: What is red?",
        "Question: What is red?\nQuestion: What is blue?",
        "Question: What is red?\nThe dog.",
        "Question: What is red?\nThe dog.\nAnswer: The dog.",
        "Question: What is red? Answer: The dog.",
    ],
)
def test_a_first_pair_that_lacks_a_field_is_an_error(text: str) -> None:
    assert reason(text) == "wrong_shape"
    assert reason(text, cut=True) == "unfinished"


@pytest.mark.parametrize(
    "rest",
    ["It is very red.", "I hope this helps!", "Question: And then?", "Question: And?\nNothing.", "Right: x\nAnswer: y"],
)
def test_pairs_end_where_a_line_is_out_of_place(rest: str) -> None:
    assert tagged.read(f"Question: What is red?\nAnswer: The dog.\n{rest}\nQuestion: x\nAnswer: y", TAGS) == ONE


@pytest.mark.parametrize("text", ["", "\n", "I am a model.", "Answer: The dog.", "Questions: none"])
def test_text_without_a_first_field_has_no_pairs(text: str) -> None:
    assert reason(text) == reason(text, cut=True) == "not_tagged"


@pytest.mark.parametrize(
    "rest", ["", "Question", "Question: What", "Question: What is blue?\nAns", "Question: What is blue?\nAnswer: The"]
)
def test_of_a_text_that_was_cut_off_the_last_pair_is_left_out(rest: str) -> None:
    whole = "Question: What is red?\nAnswer: The dog.\n\nQuestion: And now?\nAnswer: The cat.\n\n"
    found = tagged.read(whole + rest, TAGS, cut=True)
    assert not isinstance(found, Rejected)
    assert found[:1] == ONE
    assert len(found) == (2 if rest.startswith("Question:") else 1)
