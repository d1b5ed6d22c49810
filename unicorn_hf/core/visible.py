"""Finds control characters, and makes untrusted text safe to display."""

import re
import unicodedata

CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
"""Control characters except tabs and line ends, for the brackets of a regular expression."""
_CONTROL = re.compile(f"[{CONTROL}]")
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need."""
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def control_character(text: str) -> str | None:
    """The first control character that is neither a tab nor a line end, as `U+0007`; None if there is none."""
    match = _CONTROL.search(text)
    return f"U+{ord(match[0]):04X}" if match else None


def visible(text: str) -> str:
    """`text` with each invisible or bidirectional control character replaced by its code point."""
    hidden = {char for char in set(text) - _JOINERS if unicodedata.category(char) in _HIDDEN}
    return text.translate({ord(char): f"<U+{ord(char):04X}>" for char in hidden})


def visible_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))
