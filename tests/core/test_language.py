"""Which language a text is in, where it can be told."""

import pytest

from unicorn_hf.core.language import foreign, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("一只黑猫睡在红色的BMW汽车上，旁边放着一个蓝色的玻璃杯。", "zh"),
        ("机の上にノートパソコンとUSBメモリが置かれている。", "ja"),
        ("На столе лежит телефон Samsung с треснувшим экраном.", "ru"),
        ("책상 위에 노트북과 USB 메모리가 놓여 있다.", "ko"),
    ],
)
def test_some_latin_words_stand_in_any_script(text: str, language: str) -> None:
    assert foreign(text, [language]) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("一只黑猫 sleeps on a red sofa 旁边。", "zh"),
        ("A black cat sleeps on the 沙发红色 beside a glass.", "en"),
        ("A black cat sleeps on a red sofa beside a glass.", "de"),
        ("机の上にノートパソコンが置かれている。", "zh"),
    ],
)
def test_a_text_of_another_language_or_of_two_is_foreign(text: str, language: str) -> None:
    assert foreign(text, [language])


@pytest.mark.parametrize(
    ("text", "languages", "found"),
    [
        ("Ein Hund sitzt im Garten.", ["en", "de"], "de"),
        ("A dog sits in the garden.", ["en", "de"], "en"),
        ("院子里坐着一只狗。", ["en", "zh-TW"], "zh-TW"),
        ("xq", ["de", "en"], "de"),
        ("A dog sits in the garden.", ["de"], "de"),
    ],
)
def test_of_several_languages_the_likeliest_is_taken_and_the_first_in_doubt(
    text: str, languages: list[str], found: str
) -> None:
    assert language_of(text, languages) == found


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("고양이가 소파 위에서 잔다.", "ko"),
        ("แมวดำนอนอยู่บนโซฟา", "th"),
        ("黒い猫がソファの上で眠っている。", "ja"),
        ("一只黑猫睡在红色的沙发上，旁边放着一个蓝色的玻璃杯和一本打开的书。", "zh"),
        ("A black cat sleeps on the red sofa beside a glass of water.", "en"),
    ],
)
def test_what_script_or_function_words_decide_asks_no_model(
    text: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("rank", "classify"):
        monkeypatch.setattr(f"py3langid.langid.LanguageIdentifier.{method}", None)
    assert foreign(text, [language]) is None
    assert language_of(text, ["xx", language]) == language


@pytest.mark.parametrize(
    "text",
    [
        "A mulher está no banco do jardim e o cão dorme a seu lado na relva.",
        "De hond slaapt op de bank naast het raam en is moe van de wandeling in het park.",
        "Manden i den røde frakke sidder på en bænk ved siden af en sort hund.",
    ],
)
def test_words_that_other_languages_have_too_make_no_english_text(text: str) -> None:
    assert foreign(text, ["en"])
