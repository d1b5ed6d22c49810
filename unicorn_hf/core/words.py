"""Words, for filters and statistics."""

import re
import string
from collections.abc import Collection
from functools import lru_cache

import regex

_LATIN_WORD = re.compile(r"\w+(?:['’-]\w+)*")
# For these characters `re` finds the same words as `regex`, in half the time.
_NOT_LATIN = re.compile(r"[^\x00-\x7fÀ-ÖØ-öø-ɏ‘’“”–—…]")
_PUNCTUATION = "‘“”–—…"
"""Characters that are common in Latin texts and in no word."""
_SPACES = {code: " " for code in range(128) if chr(code) not in f"{string.ascii_letters}{string.digits}_"}
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
"""The weight of a word; a character of a script without spaces has a half or a quarter of it."""


# The size suits the filters, which use the same few texts in turn, and statistics, which read a row group.
@lru_cache(maxsize=2048)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words; digits count, punctuation does not; `don't` and `black-eyed` are one word each, and so are
    parts that a joiner of Persian or Malayalam connects.

    In scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) each character with
    its marks is a word, as in Unicode's default word boundaries (UAX 29) for Han.
    """
    lowered = text.lower()
    # Most captions are such: splitting them takes a quarter of the expression's time.
    plain = lowered
    for mark in _PUNCTUATION:
        plain = plain.replace(mark, " ")
    if plain.isascii() and "-" not in plain and "'" not in plain:
        return tuple(plain.translate(_SPACES).split())
    return tuple((_WORD if has_other_letters(lowered) else _LATIN_WORD).findall(lowered))


# The filters ask about the same few texts in turn.
@lru_cache(maxsize=16)
def has_other_letters(text: str) -> bool:
    """Whether a text has characters other than Latin script and English punctuation."""
    return not text.isascii() and _NOT_LATIN.search(text) is not None


def num_words(text: str) -> int:
    """The length of a text in words; in scripts without spaces, two (East Asia) or four (South-East Asia) characters
    count as one."""
    found = words(text)
    return count(found) if has_other_letters(text) else len(found)


def runs(text: str, num: int) -> list[tuple[str, ...]]:
    """All runs of `num` consecutive words in a text, with words counted as in `num_words`."""
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
    """The number of words, where a character of a script without spaces is a fraction of one."""
    return -(-sum(map(_weight, found)) // _WHOLE)


@lru_cache(maxsize=2**14)
def _weight(word: str) -> int:
    return next((_WHOLE // num for character, num in _CHARACTERS_PER_WORD if character.fullmatch(word)), _WHOLE)


def repeated_fraction(text: str, run: int = 4) -> float:
    """Share of the text's runs of `run` words that repeat an earlier one: 0 for prose, near 1 for a loop."""
    found = runs(text, run)
    return 1 - len(set(found)) / len(found) if found else 0.0
