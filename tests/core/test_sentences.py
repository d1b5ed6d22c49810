"""How sentences end, in each script."""

import pytest

from unicorn_hf.core.sentences import ends_with_question_mark, has_question_mark, is_finished, sentences


@pytest.mark.parametrize(
    "text",
    [
        "A dog.",
        'He says "no."',
        "狗坐着。",
        "「はい。」",
        "कुत्ता बैठा है।",
        "کتا بیٹھا ہے۔",
        "สุนัขนั่งอยู่",
        "ما هذا؟",
        "Да…",
        "好！）",
    ],
)
def test_a_sentence_has_an_end(text: str) -> None:
    assert is_finished(text)


@pytest.mark.parametrize("text", ["A dog", "狗坐着", "कुत्ता बैठा", "الكلب،", "A dog:"])
def test_one_that_is_cut_has_none(text: str) -> None:
    assert not is_finished(text)


@pytest.mark.parametrize("text", ["What is it?", "这是什么？", "ما هذا؟", "¿Qué es?", "「何ですか？」", 'Says "what?"'])
def test_a_question_ends_with_its_mark(text: str) -> None:
    assert ends_with_question_mark(text)
    assert has_question_mark(text)
    assert not ends_with_question_mark(f"{text} x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three", ["One.", "Two!", "Three"]),
        ("3.5 cm wide", ["3.5 cm wide"]),
        ("一只猫。两只狗。", ["一只猫。", "两只狗。", ""]),
        ("एक। दो।", ["एक।", "दो।"]),
    ],
)
def test_sentences_are_told_apart(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts
