"""Text of others in a terminal."""

import pytest

from unicorn_hf.core.visible import visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a dog, naïve 猫 \U0001f468\u200d\U0001f469", "a dog, naïve 猫 \U0001f468\u200d\U0001f469"),
        ("\x1b[2Kgone", "<U+001B>[2Kgone"),
        ("main\r  harmless/model", "main<U+000D>  harmless/model"),
        ("a\u202etxt.exe", "a<U+202E>txt.exe"),
        ("two\nlines", "two<U+000A>lines"),
    ],
)
def test_what_does_something_is_shown_as_its_code_point(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_lines() -> None:
    assert visible_lines("a\n\x07b\n") == "a\n<U+0007>b\n"
