"""Characters that published texts must not contain."""

import re

CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
"""Control characters except tabs and line ends, for the brackets of a regular expression."""
_CONTROL = re.compile(f"[{CONTROL}]")


def control_character(text: str) -> str | None:
    """The first control character that is neither a tab nor a line end; None if there is none."""
    match = _CONTROL.search(text)
    return match[0] if match else None
