"""Normalises seeds, so that equal seeds are equal strings."""

import re
import unicodedata

import regex

_SPACE = re.compile(r"\s+")
_SELECTOR = r"[\uFE00-\uFE0F\U000E0100-\U000E01EF]"
_FLAG_TAGS = r"(?<=🏴)[\U000E0030-\U000E0039\U000E0061-\U000E007A]{3,6}\U000E007F"
"""The tags of a flag such as 🏴󠁧󠁢󠁥󠁮󠁧󠁿: black flag, region code, end. Tags elsewhere are hidden text."""
_HIDDEN = regex.compile(
    rf"{_FLAG_TAGS}(*SKIP)(*FAIL)"
    r"|[\p{Cc}\p{Cs}\p{Co}]"
    # Only invisible format characters: an Arabic number sign or an Egyptian joiner stays.
    r"|[\p{Cf}&&\p{Default_Ignorable_Code_Point}--[\u200c\u200d\u180e]]",
    regex.VERSION1,
)
# In other scripts a joiner can change the shape of a letter and the meaning of a word.
_UNJOINED = (
    r"\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}\p{Common}"
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}"
)
_LETTER = rf"[\p{{L}}--[{_UNJOINED}]]"
_EMOJI = r"\p{Extended_Pictographic}"
_VIRAMA = r"\p{Indic_Syllabic_Category=Virama}\p{Indic_Syllabic_Category=Pure_Killer}"
_STRAY_JOINER = regex.compile(
    r"(?:"
    # Between the parts of an emoji: 👩‍🚀, 🏳️‍🌈, 👍🏽‍.
    rf"(?<={_EMOJI}[\uFE0F\p{{Emoji_Modifier}}]?)\u200d(?={_EMOJI})"
    # After a letter and its marks; a non-joiner also needs a letter after it, or a virama before it. Before a letter, a
    # non-joiner also follows a number, an acronym or a bracket: ۲۰‌ساله, PDF‌ها.
    rf"|(?<={_LETTER}\p{{M}}*)\u200d"
    rf"|(?<={_LETTER}\p{{M}}*)\u200c(?=[\p{{L}}\p{{M}}])"
    rf"|(?<=[\p{{L}}\p{{M}}\p{{N}}\p{{P}}])\u200c(?={_LETTER})"
    rf"|(?<=[{_VIRAMA}])\u200c"
    r"|(?<=\p{Mongolian})\u180e(?=\p{Mongolian})"
    r")(*SKIP)(*FAIL)|[\u200c\u200d\u180e]",
    regex.VERSION1,
)
# A selector changes the character before it; several selectors, or one without a character, hide data.
_STRAY_SELECTOR = regex.compile(rf"(?<=^|\s|{_SELECTOR}){_SELECTOR}")
_ANY_SELECTOR = re.compile(_SELECTOR)


def normalise(text: str) -> str:
    """Normalise to Unicode NFC and single spaces, without invisible characters. Idempotent.

    Removes control characters, direction marks, soft hyphens, byte-order marks and zero-width spaces. Keeps the parts
    of words and emoji: joiners between joining letters or parts of an emoji, variation selectors, the tags of a flag.
    """
    text = _SPACE.sub(" ", text)
    if not text.isascii() or not text.isprintable():
        text = unicodedata.normalize("NFC", text)
        # Printable text has no control and no format characters.
        if not text.isprintable() or _ANY_SELECTOR.search(text):
            text = unicodedata.normalize("NFC", _HIDDEN.sub("", text))
            text = _STRAY_SELECTOR.sub("", _STRAY_JOINER.sub("", text))
            # Removing a character can leave two spaces, or two characters that compose.
            text = unicodedata.normalize("NFC", _SPACE.sub(" ", text))
    return text.strip()
