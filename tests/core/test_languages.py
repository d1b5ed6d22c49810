"""Languages: their names, what is known of each, and which phrases are found in a text."""

from typing import get_args

import pytest

from unicorn_hf.core.languages import (
    ENGLISH,
    Kind,
    code_of,
    compiled,
    english_name,
    finder,
    found_in,
    full_name,
    has_content_words,
    listed,
    remarks,
    word_lists,
)

OTHERS = [code for code in listed() if code != ENGLISH]


def test_the_languages_that_are_promised_have_lists() -> None:
    assert OTHERS == ["ar", "de", "es", "hi", "ja", "ko", "ru", "th", "zh"]


@pytest.mark.parametrize("code", OTHERS)
def test_each_language_has_phrases_of_each_kind(code: str) -> None:
    for kind in get_args(Kind):
        assert finder(code, kind), kind
    lists = word_lists(code)
    assert lists and len(lists.describe) > 3
    assert bool(lists.function_words) == has_content_words(code)


@pytest.mark.parametrize(
    ("code", "name", "full"),
    [
        ("zh", "Chinese", "Chinese (中文)"),
        ("zh-TW", "Chinese", "Chinese (中文, zh-TW)"),
        ("pt-BR", "Portuguese", "Portuguese (português, pt-BR)"),
        ("en", "English", "English (English)"),
        ("xx", "xx", "the language of the code (xx)"),
    ],
)
def test_a_code_has_a_name(code: str, name: str, full: str) -> None:
    assert (english_name(code), full_name(code)) == (name, full)


@pytest.mark.parametrize(
    ("name", "code"), [("Chinese", "zh"), ("deutsch", "de"), ("日本語", "ja"), ("zh", None), ("Klingon", None)]
)
def test_a_name_has_a_code(name: str, code: str | None) -> None:
    assert code_of(name) == code


@pytest.mark.parametrize(
    ("phrase", "text", "is_found"),
    [
        ("бред", "бред", True),
        ("бред", "бредит", False),
        ("бред*", "бредит", True),
        ("काम", "कामी", False),  # A vowel sign is a part of the word.
        ("抱歉", "非常抱歉。", True),
        ("作为一个ai", "作为一个ai模型", True),
        ("^klar", "  klar, hier", True),
        ("^klar", "es ist klar", False),
        ("ich kann … nicht", "ich kann das leider nicht", True),
        ("ich kann … nicht", "ich kann das. nicht", False),
        ("تعذيب*", "يقوم بتعذيب", True),
        ("تعذيب*", "والتعذيبات", True),
        ("a  b", "a\nb", True),
    ],
)
def test_phrases_are_whole_words_where_there_are_spaces(phrase: str, text: str, is_found: bool) -> None:
    assert bool(compiled((phrase,)).search(text)) == is_found


TALK: list[tuple[str, Kind, str, str]] = [
    # language, kind, a text that has it, a text that has not
    ("zh", "caption_talk", "图片中有一只狗。", "墙上挂着一幅旧地图，旁边有狗。"),
    ("zh", "refusals", "作为一个人工智能，我没有眼睛。", "招牌旁边站着一位老人。"),
    ("ja", "refusals", "申し訳ございませんが、できません。", "看板の横に老人が立っている。"),
    ("ja", "caption_talk", "この写真は公園を写したものです。", "壁に古い写真が掛かっている。"),
    ("ko", "caption_talk", "사진 속에는 개가 있다.", "벽에 오래된 지도가 걸려 있다."),
    ("ko", "text_talk", "본문에 따르면 개는 검다.", "개는 담 옆에 앉아 있다."),
    ("th", "refusals", "ขออภัยค่ะ ทำไม่ได้", "สุนัขนั่งอยู่ข้างกำแพง"),
    ("ar", "refusals", "عذرًا، لا يمكنني رؤية ذلك.", "يقف رجل قرب الباب."),
    ("hi", "personal", "मुझे लगता है कि यह कुत्ता है।", "कुत्ता दीवार के पास बैठा है।"),
    ("ru", "caption_talk", "На фотографии видна собака.", "На стене висит старая карта."),
    ("ru", "rhetoric", "Это прекрасный вид.", "Это прямой забор."),
    ("es", "refusals", "Lo siento, no puedo ver eso.", "Un hombre no cabe en el coche."),
    ("es", "unsafe", "El hombre tortura a un perro.", "El hombre come una tortita."),
    ("de", "not_known", "Das lässt sich nicht sagen.", "Das lässt sich tragen."),
    ("de", "caption_talk", "Auf dem Bild ist ein Hund.", "An der Wand hängt ein Bilderrahmen."),
    ("de", "rhetoric", "Ein malerischer Hof.", "Ein Maler steht im Hof."),
]


@pytest.mark.parametrize(("code", "kind", "has", "has_not"), TALK)
def test_what_a_model_says_is_found_and_what_is_plain_is_not(code: str, kind: Kind, has: str, has_not: str) -> None:
    assert found_in(code, kind, has)
    assert found_in(code, kind, has_not) is None


def test_no_list_judges_another_language() -> None:
    assert found_in("fr", "refusals", "I'm sorry, es tut mir leid, 抱歉") is None


def test_what_is_not_looked_at_is_said() -> None:
    assert remarks(["en", "de", "ko"]) == []
    assert remarks(["zh"]) == ["In Chinese, 2 characters count as a word."]
    (no_lists,) = remarks(["fr"])
    assert no_lists.startswith("There are no word lists for French")
    counted, untold = remarks(["th"])
    assert counted == "In Thai, 4 characters count as a word."
    assert untold.startswith("The words of Thai cannot be separated")
