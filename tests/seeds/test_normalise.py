"""One form for every seed."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unicorn_hf.seeds.normalise import normalise


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("a dog", "a dog"),
        ("  a \t\r\n dog\u00a0\u2003 ", "a dog"),
        ("", ""),
        (" \u200b\ufeff\u2028 ", ""),
        ("cafe\u0301", "caf\u00e9"),
        ("\u212b", "\u00c5"),
        ("a\u200bdog", "adog"),
        ("a \u200b dog", "a dog"),
        ("a\x00b\x07c", "abc"),
        ("e\u200d\u0301", "\u00e9"),
        ("\ud800x", "x"),
        ("ﬁre", "ﬁre"),
        ("一只 猫。", "一只 猫。"),
        ("so\u00adft \u200ea\u202eb\u2066c\u061c", "soft abc"),
        ("x\u200d\u200cy au\u200cf", "xy auf"),
        ("\u200d\u0628 \u0645\u06cc\u200c \u0628", "\u0628 \u0645\u06cc \u0628"),
        ("\U0001f3f4\U000e0061\U000e0062 a\U000e0041\U000e007f", "\U0001f3f4 a"),
        ("\u2764\ufe0f\ufe01\U000e0101 \ufe0fa", "\u2764\ufe0f a"),
        ("x\u180ey", "xy"),
    ],
)
def test_seeds_that_look_alike_become_alike(text: str, seed: str) -> None:
    assert normalise(text) == seed


KEPT = {
    "Persian": "می\u200cخواهم یک گربه",
    "Persian, after a number": "۲۰\u200cساله و 5\u200cنفره",
    "Persian, after an acronym and brackets": "PDF\u200cها و (تهران)\u200cها",
    "Urdu": "آپ\u200cکا گھر",
    "Arabic, joined at its end": "سنة ۱۳۰۰ ه\u200d",
    "Kurdish": "ده\u200cچم",
    "Hindi": "क्\u200dष और क्\u200cष",
    "Bengali": "র\u200d্যাব",
    "Malayalam": "അവന്\u200d വന്നു",
    "Kannada": "ಬ್ಯಾಂಕ್\u200c ನಲ್ಲಿ",
    "Sinhala": "ශ්\u200dරී ලංකා",
    "Mongolian": "ᠠ\u180eᠣ",
    "Arabic number sign": "\u0600 5",
    "family": "👨\u200d👩\u200d👧 at home",
    "skin tone and job": "👩🏽\u200d🚀 in space",
    "heart on fire": "❤\ufe0f\u200d🔥",
    "rainbow flag": "🏳\ufe0f\u200d🌈 on a pole",
    "England": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f flag on a pole",
    "Japan": "🇯🇵 flag",
    "keycap": "1\ufe0f\u20e3",
    "Han variant": "葛\U000e0100城",
}


@pytest.mark.parametrize("what", KEPT)
def test_what_words_and_emoji_are_made_of_stays(what: str) -> None:
    assert normalise(KEPT[what]) == KEPT[what]


@pytest.mark.parametrize("hidden", ["\u200e", "\u202b", "\ufeff", "\u00ad", "\u200b", "\U000e0041"])
@pytest.mark.parametrize("what", KEPT)
def test_what_hides_beside_it_goes(what: str, hidden: str) -> None:
    assert normalise(f"{hidden}{KEPT[what]}{hidden}") == KEPT[what]


JOINED = st.text(
    st.sampled_from("یخ क्ष്ন ශ🏳👩🏽❤a \u200c\u200d\u200b\u180eᠠ\ufe0f\ufe01\u0301e🏴\U000e0067\U000e007f"), max_size=12
)


@given(st.text(st.characters(), max_size=40) | JOINED)
@example("e\u200d\u0301\u200d ")
@example("\u1100\u200b\u1161")
@example("\u2000\u0301")
def test_normalising_again_changes_nothing(text: str) -> None:
    seed = normalise(text)
    assert normalise(seed) == seed
    assert unicodedata.is_normalized("NFC", seed)
    assert seed == seed.strip()
    assert "  " not in seed
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Co") for character in seed)
    assert not set(seed) & set("\u200b\u200e\u200f\u202a\u202e\u2066\u2069\u061c\u00ad\ufeff")
    seed.encode()


@given(st.text(st.characters(), max_size=40))
def test_equal_texts_of_other_forms_become_equal(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert normalise(unicodedata.normalize(form, text)) == normalise(text)
    assert normalise(f"\t{text}\r\n") == normalise(text)
