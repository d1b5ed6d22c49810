"""What a text is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.content import content_words, is_plainly_english, telling_words


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
    assert list(content_words(text)) == found


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


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("de", "die roten Tauben", "eine rote Taube"),
        ("es", "los gatos negros", "un gato negro"),
        ("ru", "красные лодки", "красную лодку"),
        ("ar", "القوارب الخشبية", "القوارب خشبية"),
        ("hi", "कबूतरों को", "कबूतर"),
        ("ko", "고양이가 의자에", "고양이는 의자를"),
        ("zh", "黑色的猫", "猫是黑色"),
        ("ja", "黒い猫とランプ", "ランプと黒猫"),
        ("fr", "les chats noirs", "les chat noir"),
        ("th", "แมวดำ", "สุนัขขาว"),
    ],
)
def test_forms_of_other_languages_share_their_content(language: str, one: str, other: str) -> None:
    assert set(content_words(one, language)) == set(content_words(other, language))


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "Wie ist das Wetter?"), ("zh", "颜色是什么？"), ("ja", "天気はどうですか？"), ("es", "¿De qué color es?")],
)
def test_words_that_suit_any_scene_tell_nothing_in_other_languages(language: str, text: str) -> None:
    assert telling_words(text, language) == []


@pytest.mark.parametrize(
    ("text", "is_english"),
    [("A dog sits in the garden.", True), ("labrador retriever", False), ("Ein Hund im Garten", False), ("", False)],
)
def test_english_prose_is_known_by_its_function_words(text: str, is_english: bool) -> None:
    assert is_plainly_english(text) == is_english
