"""What counts as a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core import words as module
from unicorn_hf.core.words import count, num_words, repeated_fraction, runs, words


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
        ("می\u200cخواهم", ["می\u200cخواهم"]),
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


@pytest.mark.parametrize(
    ("text", "num", "found"),
    [
        ("a b c d", 3, ["a b c", "b c d"]),
        ("a b", 3, []),
        ("黑猫睡在沙发", 2, ["黑 猫 睡 在", "猫 睡 在 沙", "睡 在 沙 发"]),
        ("黑 cat 睡 在", 2, ["黑 cat 睡", "cat 睡 在"]),
        ("กขคงจ", 1, ["ก ข ค ง", "ข ค ง จ"]),
        ("кот и пёс", 2, ["кот и", "и пёс"]),
        ("", 1, []),
    ],
)
def test_runs_of_characters_are_as_long_as_runs_of_words(text: str, num: int, found: list[str]) -> None:
    assert [" ".join(run) for run in runs(text, num)] == found


@given(st.text(), st.integers(1, 5))
def test_each_run_has_its_number_of_words(text: str, num: int) -> None:
    assert all(count(run) >= num > count(run[1:-1]) for run in runs(text, num))


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("一只黑猫睡在红色的沙发上，旁边放着一个蓝色的玻璃杯，窗外是绿色的草地。", False),
        ("แมวสีดำนอนอยู่บนโซฟาสีแดง ข้าง ๆ มีแก้วสีน้ำเงินวางอยู่บนโต๊ะ", False),
        ("一只黑猫睡在红色的沙发上，" * 4, True),
        ("แมวสีดำนอนอยู่บนโซฟา " * 4, True),
    ],
)
def test_prose_of_characters_is_no_loop(text: str, repeats: bool) -> None:
    assert (repeated_fraction(text) > 0.25) == repeats
