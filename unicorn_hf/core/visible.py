"""Makes untrusted text safe to display: escapes control and bidirectional characters."""

import unicodedata

_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need."""
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def visible(text: str) -> str:
    """`text` with each invisible or bidirectional control character replaced by its code point."""
    return "".join(f"<U+{ord(character):04X}>" if _is_hidden(character) else character for character in text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))


def _is_hidden(character: str) -> bool:
    return character not in _JOINERS and unicodedata.category(character) in _HIDDEN
