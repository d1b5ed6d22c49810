"""What a text is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.content import content_words, telling_words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("What is it, and where?", []),
        ("The old man's stick", ["old", "man", "stick"]),
        ("the old man’s stick", ["old", "man", "stick"]),
        ("Two dogs", ["two", "dog"]),
        ("It's there", []),
        ("über straße", ["über", "straße"]),
    ],
)
def test_function_words_are_left_out(text: str, found: list[str]) -> None:
    assert content_words(text) == found


@pytest.mark.parametrize(
    ("one", "other"), [("a dog runs", "running dogs"), ("it carries", "carrying"), ("stones", "stone")]
)
def test_inflections_share_a_form(one: str, other: str) -> None:
    assert set(content_words(one)) == set(content_words(other))


@given(st.text(), st.text())
def test_words_are_found_one_by_one(one: str, other: str) -> None:
    assert content_words(f"{one}\n{other}") == content_words(one) + content_words(other)


@pytest.mark.parametrize(
    ("text", "found"), [("What is the weather like?", []), ("How many dogs are on the left?", ["dog"]), ("Two.", [])]
)
def test_words_that_suit_any_scene_tell_nothing(text: str, found: list[str]) -> None:
    assert telling_words(text) == found
