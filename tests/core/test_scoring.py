"""Scores: what a model says, read; and rows below a bound rejected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.scoring import SCORES, Scorer, parse_score

PROMPT = Prompt(version="1", system="s", user="How good is this?\n{subject}")


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score":4}', 4),
        ('{"score": 5}', 5),
        ('```json\n{"score": 2}\n```', 2),
        ("3", 3),
        (" 3.", 3),
        ("**4**", 4),
        ("4/5", 4),
        ("4 out of 5", 4),
        ("Score: 1", 1),
        ("score = 2", 2),
        ("The score is 3, since an answer is vague.", 3),
        ("There are 2 dogs. Score: 5", 5),
        ("Rating: 4/5", 4),
        ("", None),
        ("good", None),
        ("0", None),
        ("6", None),
        ("45", None),
        ("4.5", None),
        ("Score: 4.5", None),
        ("Score: 10", None),
        ('{"score":"high"}', None),
        ("A conversation of 4 turns", None),
    ],
)
def test_scores_are_read(text: str, score: int | None) -> None:
    assert parse_score(text) == score


@given(st.text(st.characters()) | st.from_regex(r"(?i)\W{0,3}(score|rating)?\W{0,5}\d{0,3}\W{0,3}.{0,5}"))
def test_any_text_gives_a_score_or_none(text: str) -> None:
    assert parse_score(text) in (None, *SCORES)


@given(st.sampled_from(SCORES), st.text(" \n\t", max_size=5), st.text(" \n\t", max_size=5))
def test_what_the_schema_allows_is_always_read(score: int, before: str, after: str) -> None:
    assert parse_score(f'{before}{{"score":{after}{score}}}') == score


@given(st.sampled_from(SCORES), st.sampled_from(SCORES))
def test_a_row_is_kept_from_the_bound_on(score: int, bound: int) -> None:
    rejected = Scorer(PROMPT, bound).check(Answer(json.dumps({"score": score}), "stop", 9, 9))
    assert (rejected is None) == (score >= bound)
    assert rejected is None or (rejected.reason, rejected.detail) == ("low_score", f"{score}, below {bound}")


def test_an_answer_without_a_score_is_no_good_score() -> None:
    for text, detail in (("fine", "fine"), ("", "stop")):
        rejected = Scorer(PROMPT, 1).check(Answer(text, "stop", 9, 9))
        assert rejected is not None
        assert (rejected.reason, rejected.detail) == ("no_score", detail)
    assert Scorer(PROMPT, 1).check(Answer("", "context", 9, 0)).reason == "too_long_for_model"  # type: ignore[union-attr]


def test_the_bound_changes_no_request() -> None:
    assert Scorer(PROMPT, 1).request("a", "text").key == Scorer(PROMPT, 5).request("a", "text").key
    assert Scorer(PROMPT, 1).request("a", "text").key != Scorer(PROMPT, 1).request("a", "other").key
