"""Finding phrases: a hint never hides what the expression finds."""

import re
from types import ModuleType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unicorn_hf.captions.filters import chat
from unicorn_hf.core import talk, thoughts
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, Kind, finder, listed, word_lists
from unicorn_hf.instructions.filters import any_text, options, sentences

LETTERS = st.characters(max_codepoint=0x2030, categories=("L", "N", "P", "Z"))
MODULES: tuple[ModuleType, ...] = (chat, talk, thoughts, any_text, sentences, options)
HINTED = {
    f"{module.__name__}.{name}": found
    for module in MODULES
    for name, found in vars(module).items()
    if isinstance(found, Finder) and found.hints
}


@pytest.mark.parametrize("name", sorted(HINTED))
def test_all_that_an_expression_finds_has_a_hint(name: str) -> None:
    found = HINTED[name]
    looked_at = 0

    @settings(max_examples=400, database=None, derandomize=True, deadline=None)
    @given(text=st.from_regex(found.pattern, alphabet=LETTERS))
    def check(text: str) -> None:
        nonlocal looked_at
        if found.pattern.search(text if found.cased else text.lower()):
            looked_at += 1
            assert found.hinted(text)

    check()
    assert looked_at > 50


@pytest.mark.parametrize("code", sorted(set(listed()) - {ENGLISH}))
@pytest.mark.parametrize("kind", get_args(Kind))
def test_each_phrase_of_a_list_is_found_whatever_the_space_between_its_words(code: str, kind: Kind) -> None:
    lists = word_lists(code)
    assert lists
    for phrase in getattr(lists, kind):
        text = re.sub(r"\s+", "  ", phrase.removeprefix("^").replace("*", "").replace("…", "—"))
        found = finder(code, kind)
        assert found and found.search(text) is not None, phrase
        assert found.search(text.upper()) is not None or text.upper().lower() != text.lower(), phrase


def test_what_is_found_is_given_as_it_stands_in_the_text() -> None:
    found = Finder(re.compile("an? dog"), ("dog",))
    assert found.search("There is A  Dog, A Dog.") == "A Dog"
    assert found.findall("A dog, a DOG and a cat") == ["a dog", "a dog"]
    assert found.search("a cat") is None


def test_capitals_matter_where_the_expression_says_so() -> None:
    found = Finder(re.compile(r"\bI\b"), cased=True)
    assert found.search("I see") == "I"
    assert found.search("i see") is None
