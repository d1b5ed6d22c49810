"""Words, as filters and statistics count them."""

import re
from functools import lru_cache

import regex

_LATIN_WORD = re.compile(r"\w+(?:['’-]\w+)*")
# Of other characters `re` has other words than `regex`, and takes half the time of it.
_NOT_LATIN = re.compile(r"[^\x00-\x7fÀ-ÖØ-öø-ɏ‘’“”–—…]")
_EAST_ASIAN = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}々〆ー"
_SOUTH_EAST_ASIAN = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_LETTER = rf"[\w\p{{M}}--[{_EAST_ASIAN}{_SOUTH_EAST_ASIAN}]]"
_WORD = regex.compile(
    rf"[{_EAST_ASIAN}{_SOUTH_EAST_ASIAN}]\p{{M}}*|{_LETTER}+(?:['’-]{_LETTER}+)*", regex.VERSION1 | regex.UNICODE
)
_CHARACTERS_PER_WORD = ((regex.compile(f"[{_EAST_ASIAN}]"), 2), (regex.compile(f"[{_SOUTH_EAST_ASIAN}]"), 4))


# Filters ask for the words of the same few texts one after the other, statistics for those of a row group.
@lru_cache(maxsize=2048)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words; digits count, punctuation does not, `don't` and `black-eyed` are one each.

    In scripts that put no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) each character
    with its marks is one, as Unicode's default word boundaries (UAX 29) have it for Han.
    """
    lowered = text.lower()
    return tuple((_WORD if _NOT_LATIN.search(lowered) else _LATIN_WORD).findall(lowered))


def num_words(text: str) -> int:
    """How long a text is in words: where a character is no word, two (East Asia) or four (South-East Asia) are one."""
    found = words(text)
    num = len(found)
    if not _NOT_LATIN.search(text):
        return num
    for character, number in _CHARACTERS_PER_WORD:
        single = sum(character.match(word) is not None for word in found)
        num += -(-single // number) - single
    return num


def repeated_fraction(text: str, run: int = 4) -> float:
    """Share of the text's runs of `run` words that stand in it before: 0 for prose, towards 1 for a loop."""
    tokens = words(text)
    runs = [tokens[start : start + run] for start in range(len(tokens) - run + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
