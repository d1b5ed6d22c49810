"""Any text comes back as text from a real Markdown parser, and makes no structure of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cards.samples import HOSTILE, MARKDOWN, lines_of, structure
from unicorn_hf.cards.text import WIDTH, as_block, as_text, labelled, shortened, visible

ANY = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text("`~*_#-+=|<>[]()!&;:.0123 \t\n\r\\\"'$\u202e\x00aw", max_size=40),
    st.sampled_from(HOSTILE),
)
WITH_TEXT = ANY.filter(str.strip)
LONGEST = 2_000_000

PLACES = {
    "paragraph": "{}\n",
    "middle of a line": "before {} after\n",
    "second line": "before\n{}\n",
    "before a line": "{}\nafter\n",
    "heading": "# {}\n",
    "callout": "> [!NOTE]\n> {}\n",
    "item": "- {}\n",
    "cell": "| a | b |\n|---|---|\n| {} | x |\n",
    "bold": "**{} x**\n",
    "after a table": "| a | b |\n|---|---|\n| c | d |\n\n{}\n",
}


@pytest.mark.parametrize("place", PLACES)
@given(text=WITH_TEXT)
def test_a_line_is_shown_as_it_is_and_nothing_else(place: str, text: str) -> None:
    page = PLACES[place].format(as_text(text))
    assert structure(page) == structure(PLACES[place].format("x"))
    shown = visible(shortened(" ".join(text.split()), 300))
    assert any(shown in line for line in lines_of(page))


@given(ANY)
def test_a_line_is_one_line_of_bounded_length_without_hidden_characters(text: str) -> None:
    line = as_text(text)
    assert line == line.strip()
    assert len(line.splitlines()) <= 1
    assert len(line) < 300 * len("&#60;U&#43;E0041&#62;") + 100
    assert visible(line) == line


@given(st.lists(ANY, max_size=4))
def test_a_block_holds_its_lines_and_ends_where_it_should(texts: list[str]) -> None:
    lines = [line for text in texts for line in labelled("label", text, label_width=8, limit=LONGEST)]
    page = f"before\n\n{as_block(lines)}\n\nafter\n"
    before, block, after = (token for token in MARKDOWN.parse(page) if token.content)
    assert (before.content, block.type, after.content) == ("before", "fence", "after")
    # An empty block is one empty line.
    assert block.content.split("\n")[:-1] == (lines or [""])


@given(ANY)
def test_the_lines_of_a_value_are_short_and_whole(text: str) -> None:
    lines = labelled("label", text, label_width=8, limit=LONGEST)
    assert lines[0].startswith("label")
    assert all(len(line) <= WIDTH for line in lines)
    assert all(visible(line) == line for line in lines)
    if len(text) < WIDTH - 8 and text.isascii() and text.isprintable():
        assert " ".join(lines).split() == ["label", *text.split()]


def test_lines_of_a_value_stay_apart() -> None:
    value = "Which one?\nA. this\r\nB. that\rC. none"
    assert labelled("human", value, label_width=8, limit=100) == [
        "human   Which one?",
        "        A. this",
        "        B. that",
        "        C. none",
    ]


def test_a_long_word_is_cut_and_its_length_stated() -> None:
    lines = labelled("caption", "a " + "x" * 1_000_000 + " b", label_width=8, limit=LONGEST)
    assert sum(map(len, lines)) < 300
    assert "(1,000,000 characters in total)" in " ".join(lines)
    assert lines[-1].endswith("b")


def test_a_long_text_is_cut_and_its_length_stated() -> None:
    assert shortened("word " * 1000, 20) == "word word word word … (5,000 characters in total)"
    assert shortened("word", 4) == "word"
    assert as_text("word " * 100).endswith("… (499 characters in total)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a<U+202E>b"),
        ("a\x00b", "a<U+0000>b"),
        ("\ud800", "<U+D800>"),
        ("soft\u00adhyphen", "soft<U+00AD>hyphen"),
        ("👩‍👩‍👧 नमस्ते مرحبا", "👩‍👩‍👧 नमस्ते مرحبا"),
    ],
)
def test_what_does_not_show_is_named(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
