"""Whether a caption comes to an end, and to something new."""

import re

import regex

from unicorn_hf.core.words import words

_SENTENCE_END = re.compile(r"[.!?。！？｡।॥؟۔።။៕…][\"'”’»)」』]*$")
# No full stop ends a sentence in these scripts.
_WITHOUT_STOP = regex.compile(r"[\p{Thai}\p{Lao}]\p{M}*$")


def unfinished(caption: str) -> str | None:
    """How the caption ends, if not as a sentence does."""
    if _SENTENCE_END.search(caption) or _WITHOUT_STOP.search(caption):
        return None
    return f"ends with {caption[-20:]!r}"


def repeated_fraction(text: str, run: int = 4) -> float:
    """Share of the text's runs of `run` words that stand in it before: 0 for prose, towards 1 for a loop."""
    tokens = words(text)
    runs = [tuple(tokens[start : start + run]) for start in range(len(tokens) - run + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
