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
    ],
)
def test_seeds_that_look_alike_become_alike(text: str, seed: str) -> None:
    assert normalise(text) == seed


@given(st.text(st.characters(), max_size=40))
@example("e\u200d\u0301\u200d ")
@example("\u1100\u200b\u1161")
@example("\u2000\u0301")
def test_normalising_again_changes_nothing(text: str) -> None:
    seed = normalise(text)
    assert normalise(seed) == seed
    assert unicodedata.is_normalized("NFC", seed)
    assert seed == seed.strip()
    assert "  " not in seed
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") for character in seed)
    seed.encode()


@given(st.text(st.characters(), max_size=40))
def test_equal_texts_of_other_forms_become_equal(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert normalise(unicodedata.normalize(form, text)) == normalise(text)
    assert normalise(f"\t{text}\r\n") == normalise(text)
