"""Filters that compare a caption with its seed by stemmed content words."""

from functools import lru_cache

from pydantic import NonNegativeInt

from unicorn_hf.captions.filters.base import CaptionFilter, Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.content import content_words, telling_words
from unicorn_hf.core.languages import ENGLISH, base, has_content_words
from unicorn_hf.core.section import Fraction
from unicorn_hf.core.words import count

# A seed may mention its picture; a caption must not.
_OF_THE_PICTURE = frozenset(
    content_words("image picture photo photograph snapshot close-up closeup close view shot kind type sort breed")
)
_FEWEST_LETTERS = 4
_FEWEST_SYLLABLES = 2
"""The same for Korean, which writes a syllable as one character."""


def seed_words(seed: str, language: str = ENGLISH) -> list[str]:
    """The seed's distinct content words that its caption should have too."""
    found = dict.fromkeys(_parts(seed, language))
    if base(language) == ENGLISH:
        return [word for word in found if word not in _OF_THE_PICTURE] or list(found)
    return list(dict.fromkeys(telling_words(_spaced(seed), language))) or list(found)


def lost_words(wanted: list[str], caption: str, language: str = ENGLISH) -> list[str]:
    """Those of `wanted` that the caption lacks in any form; `tree` is in `treetop`, `child` in `children`."""
    have = set(_parts(caption, language))
    fewest = _FEWEST_SYLLABLES if base(language) == "ko" else _FEWEST_LETTERS
    long = [word for word in have if len(word) >= fewest]
    return [word for word in wanted if word not in have and not _has_form(word, long, fewest)]


def added_words(seed: str, caption: str, language: str = ENGLISH) -> set[str]:
    """The content words of the caption that are not in the seed."""
    return set(_parts(caption, language)) - set(_parts(seed, language))


def _has_form(word: str, long: list[str], fewest: int) -> bool:
    return any(word.startswith(other) or (len(word) >= fewest and other.startswith(word)) for other in long)


# Two filters use those of the caption and of its seed.
@lru_cache(maxsize=4)
def _parts(text: str, language: str) -> tuple[str, ...]:
    return tuple(content_words(_spaced(text), language))


def _spaced(text: str) -> str:
    return text.replace("-", " ").replace("_", " ")


@CAPTION_FILTERS.register("lost_seed")
class LostSeed(CaptionFilter):
    """A caption must be about its seed."""

    min_seed_coverage: Fraction = 0.5
    """Minimum share of the seed's content words that the caption has, in any form."""

    def check(self, draft: Draft) -> str | None:
        if draft.is_across:
            return None
        wanted = seed_words(draft.seed, draft.language)
        lost = lost_words(wanted, draft.caption, draft.language)
        return f"lost: {', '.join(lost)}" if len(wanted) - len(lost) < self.min_seed_coverage * len(wanted) else None


@CAPTION_FILTERS.register("little_added")
class LittleAdded(CaptionFilter):
    """A caption must add details to its seed."""

    min_added_words: NonNegativeInt = 12
    """Minimum number of content words of the caption that are not in the seed."""

    def check(self, draft: Draft) -> str | None:
        if not has_content_words(draft.language):
            return None
        number = count(added_words(draft.seed, draft.caption, draft.language))
        return f"{number} content words added" if number < self.min_added_words else None
