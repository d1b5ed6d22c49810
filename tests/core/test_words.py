"""What counts as a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core import words as module
from unicorn_hf.core.words import num_words, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("... -- !?", []),
        ("A dog, two cats.", ["a", "dog", "two", "cats"]),
        ("It doesn't; it doesn’t", ["it", "doesn't", "it", "doesn’t"]),
        ("a black-eyed Susan", ["a", "black-eyed", "susan"]),
        ("12 o'clock", ["12", "o'clock"]),
        ("'quoted' -dash-", ["quoted", "dash"]),
        ("Über Straße", ["über", "straße"]),
        ("नीली चिड़िया", ["नीली", "चिड़िया"]),
        ("猫坐在 a mat 上。", ["猫", "坐", "在", "a", "mat", "上"]),
        ("ที่นี่", ["ที่", "นี่"]),
    ],
)
def test_words_are_counted_as_documented(text: str, found: list[str]) -> None:
    assert words(text) == tuple(found)


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("two dogs", 2), ("猫坐在垫子上", 3), ("猫坐在垫", 2), ("猫坐在垫子上 the cat", 5), ("กขคงจฉ", 2)],
)
def test_characters_of_scripts_without_spaces_count_as_parts_of_words(text: str, number: int) -> None:
    assert num_words(text) == number


@given(st.text(st.one_of(st.characters(max_codepoint=0x24F), st.sampled_from("‘’“”–—…'- "))))
def test_text_in_latin_letters_has_the_same_words_by_either_road(text: str) -> None:
    lowered = text.lower()
    if not module._NOT_LATIN.search(lowered):
        assert module._LATIN_WORD.findall(lowered) == module._WORD.findall(lowered)
