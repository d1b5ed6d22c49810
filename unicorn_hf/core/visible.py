"""Text of others, where people read it: nothing in it works on the terminal or turns other text about."""

import unicodedata

_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji are written with."""
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def visible(text: str) -> str:
    """`text` with each character that does not show, or that turns the others about, written as its code point."""
    return "".join(f"<U+{ord(character):04X}>" if _is_hidden(character) else character for character in text)


def visible_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))


def _is_hidden(character: str) -> bool:
    return character not in _JOINERS and unicodedata.category(character) in _HIDDEN
