"""What counts as a word."""

import pytest

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
    assert words(text) == found


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("two dogs", 2), ("猫坐在垫子上", 3), ("猫坐在垫", 2), ("猫坐在垫子上 the cat", 5), ("กขคงจฉ", 2)],
)
def test_characters_of_scripts_without_spaces_count_as_parts_of_words(text: str, number: int) -> None:
    assert num_words(text) == number
