"""Whether a caption comes to an end, and to something new."""

import re

import regex

_SENTENCE_END = re.compile(r"[.!?。！？｡।॥؟۔።။៕…][\"'”’»)」』]*$")
# No full stop ends a sentence in these scripts.
_WITHOUT_STOP = regex.compile(r"[\p{Thai}\p{Lao}]\p{M}*$")


def unfinished(caption: str) -> str | None:
    """How the caption ends, if not as a sentence does."""
    if _SENTENCE_END.search(caption) or _WITHOUT_STOP.search(caption):
        return None
    return f"ends with {caption[-20:]!r}"
