"""Words, as filters and statistics count them."""

import re
from collections.abc import Collection
from functools import lru_cache

import regex

_LATIN_WORD = re.compile(r"\w+(?:['’-]\w+)*")
# Of other characters `re` has other words than `regex`, and takes half the time of it.
_NOT_LATIN = re.compile(r"[^\x00-\x7fÀ-ÖØ-öø-ɏ‘’“”–—…]")
_EAST_ASIAN = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}々〆ー"
_SOUTH_EAST_ASIAN = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_LETTER = rf"[\w\p{{M}}--[{_EAST_ASIAN}{_SOUTH_EAST_ASIAN}]]"
_WORD = regex.compile(
    rf"[{_EAST_ASIAN}{_SOUTH_EAST_ASIAN}]\p{{M}}*|{_LETTER}+(?:['’\u200c\u200d-]{_LETTER}+)*",
    regex.VERSION1 | regex.UNICODE,
)
_CHARACTERS_PER_WORD = (
    (regex.compile(rf"[{_EAST_ASIAN}]\p{{M}}*"), 2),
    (regex.compile(rf"[{_SOUTH_EAST_ASIAN}]\p{{M}}*"), 4),
)
_WHOLE = 4
"""The weight of a word; a character that is a part of one has a half or a quarter of it."""


# Filters ask for the words of the same few texts one after the other, statistics for those of a row group.
@lru_cache(maxsize=2048)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words; digits count, punctuation does not, `don't` and `black-eyed` are one each, and so is
    what a joiner of Persian or Malayalam holds together.

    In scripts that put no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) each character
    with its marks is one, as Unicode's default word boundaries (UAX 29) have it for Han.
    """
    lowered = text.lower()
    return tuple((_WORD if has_other_letters(lowered) else _LATIN_WORD).findall(lowered))


def has_other_letters(text: str) -> bool:
    """Whether a text has characters beside those of Latin script, English punctuation among them."""
    return _NOT_LATIN.search(text) is not None


def num_words(text: str) -> int:
    """How long a text is in words: where a character is no word, two (East Asia) or four (South-East Asia) are one."""
    found = words(text)
    return count(found) if has_other_letters(text) else len(found)


def runs(text: str, num: int) -> list[tuple[str, ...]]:
    """All runs of `num` words in a text, from each word on; of characters as many more as `num_words` takes for one."""
    found = words(text)
    if not has_other_letters(text):
        return [found[start : start + num] for start in range(len(found) - num + 1)]
    weights = [_weight(word) for word in found]
    made, end, weight = [], 0, 0
    for start in range(len(found)):
        while weight < num * _WHOLE and end < len(found):
            weight += weights[end]
            end += 1
        if weight < num * _WHOLE:
            break
        made.append(found[start:end])
        weight -= weights[start]
    return made


def count(found: Collection[str]) -> int:
    """How many words some words are, where a character of a script without spaces is a part of one."""
    return -(-sum(map(_weight, found)) // _WHOLE)


@lru_cache(maxsize=2**14)
def _weight(word: str) -> int:
    return next((_WHOLE // num for character, num in _CHARACTERS_PER_WORD if character.fullmatch(word)), _WHOLE)


def repeated_fraction(text: str, run: int = 4) -> float:
    """Share of the text's runs of `run` words that stand in it before: 0 for prose, towards 1 for a loop."""
    found = runs(text, run)
    return 1 - len(set(found)) / len(found) if found else 0.0
