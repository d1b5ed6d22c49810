"""What counts as a word."""

import pytest

from unicorn_hf.core.words import words


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
    ],
)
def test_words_are_counted_as_documented(text: str, found: list[str]) -> None:
    assert words(text) == found
