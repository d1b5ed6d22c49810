"""Finding phrases in texts of which few have any."""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Finder:
    """A regular expression of phrases, asked only of texts that have a hint of them.

    A look for a hint takes a hundredth of the expression's time.
    """

    pattern: re.Pattern[str]
    hints: tuple[str, ...] = ()
    """Each text in which the expression finds something holds one of them. None: it is asked of all texts."""
    cased: bool = False
    """Whether the expression tells capitals from small letters. Else it is of lower case, which takes half the time."""

    def search(self, text: str) -> str | None:
        """The first phrase that is found, as it stands in the text."""
        if not self.hinted(text):
            return None
        searched = text if self.cased else text.lower()
        match = self.pattern.search(searched)
        if match is None:
            return None
        # Few letters are of another length in lower case.
        return text[match.start() : match.end()] if len(searched) == len(text) else match.group()

    def findall(self, text: str) -> list[str]:
        """All that is found, in lower case."""
        return self.pattern.findall(text.lower()) if self.hinted(text) else []

    def hinted(self, text: str) -> bool:
        """Whether there may be something to find."""
        if not self.hints:
            return True
        folded = _folded(text)
        for hint in self.hints:  # noqa: SIM110 - `any` takes twice the time.
            if hint in folded:
                return True
        return False


# Several finders look at a text, one after the other.
@lru_cache(maxsize=16)
def _folded(text: str) -> str:
    """In lower case, with one space between words."""
    lowered = text.lower()
    # Of white space, the space alone is printable.
    return lowered if lowered.isprintable() and "  " not in lowered else " ".join(lowered.split())
