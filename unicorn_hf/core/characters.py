"""Characters that no published text has."""

import re

CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
"""Control characters, tabs and line ends aside, as a regular expression has them within brackets."""
_CONTROL = re.compile(f"[{CONTROL}]")


def control_character(text: str) -> str | None:
    """The first control character that is neither a tab nor a line end; None where there is none."""
    match = _CONTROL.search(text)
    return match[0] if match else None
