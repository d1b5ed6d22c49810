"""Finds phrases that are rare in texts."""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Finder:
    """A regular expression of phrases, used only on texts that contain a hint of them.

    Searching for a hint takes a hundredth of the expression's time.
    """

    pattern: re.Pattern[str]
    hints: tuple[str, ...] = ()
    """Each match contains one of these. Empty: all texts are searched."""
    cased: bool = False
    """Whether the expression is case-sensitive. Otherwise it is in lower case, which takes half the time."""

    def search(self, text: str) -> str | None:
        """The first match, as written in the text."""
        if not self.hinted(text):
            return None
        searched = text if self.cased else text.lower()
        match = self.pattern.search(searched)
        if match is None:
            return None
        # Some letters change their length in lower case.
        return text[match.start() : match.end()] if len(searched) == len(text) else match.group()

    def findall(self, text: str) -> list[str]:
        """All matches, in lower case."""
        return self.pattern.findall(text.lower()) if self.hinted(text) else []

    def hinted(self, text: str) -> bool:
        """Whether a match is possible."""
        if not self.hints:
            return True
        folded = _folded(text)
        for hint in self.hints:  # noqa: SIM110 - `any` takes twice the time.
            if hint in folded:
                return True
        return False


@lru_cache(maxsize=16)
def _folded(text: str) -> str:
    """The text in lower case, with one space between words."""
    lowered = text.lower()
    # The space is the only printable white space.
    return lowered if lowered.isprintable() and "  " not in lowered else " ".join(lowered.split())
