"""Filters of a caption's words: how many, in which language, and which are unwanted."""

from typing import Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from unicorn_hf.captions.filters.base import CaptionFilter, Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.language import foreign
from unicorn_hf.core.section import Fraction, Strings
from unicorn_hf.core.word_lists import rhetoric, unsafe
from unicorn_hf.core.words import num_words, repeated_fraction


@CAPTION_FILTERS.register("unsafe")
class Unsafe(CaptionFilter):
    """A caption must not contain a word from the list of unsafe content."""

    taken_keys = ("unsafe_words",)
    forbid_unsafe: bool = True
    unsafe_words: Strings = ()
    """Words and phrases to add to the list of unsafe content; `*` matches the rest of a word."""

    def check(self, draft: Draft) -> str | None:
        return unsafe(draft.caption, self.unsafe_words, draft.language) if self.forbid_unsafe else None


@CAPTION_FILTERS.register("too_short")
class TooShort(CaptionFilter):
    """A caption must have at least this many words."""

    min_words: PositiveInt = 40

    def check(self, draft: Draft) -> str | None:
        number = num_words(draft.caption)
        return f"{number} words" if number < self.min_words else None


@CAPTION_FILTERS.register("too_long")
class TooLong(TooShort):
    """A caption must have at most this many words."""

    max_words: PositiveInt = 500

    def check(self, draft: Draft) -> str | None:
        number = num_words(draft.caption)
        return f"{number} words" if number > self.max_words else None

    @model_validator(mode="after")
    def _band_is_open(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words ({self.min_words}) exceeds max_words ({self.max_words})")
        return self


@CAPTION_FILTERS.register("language")
class Language(CaptionFilter):
    """A caption must be in one of the recipe's languages."""

    check_language: bool = True
    """Whether captions must be in the recipe's `language`, without a second script; quotations are exempt."""

    def check(self, draft: Draft) -> str | None:
        return foreign(draft.unquoted, draft.languages) if self.check_language else None


@CAPTION_FILTERS.register("repetition")
class Repetition(CaptionFilter):
    """A caption must not repeat itself."""

    max_repeated_fraction: Fraction = 0.25
    """Maximum share of the caption's 4-word runs that repeat an earlier one; loops far exceed it."""

    def check(self, draft: Draft) -> str | None:
        fraction = repeated_fraction(draft.caption)
        return f"{fraction:.2f} of its 4-word runs repeat" if fraction > self.max_repeated_fraction else None


@CAPTION_FILTERS.register("rhetoric")
class Rhetoric(CaptionFilter):
    """A caption must describe the visible, without evaluation."""

    max_rhetoric: NonNegativeInt = 0
    """Maximum number of evaluative words and phrases that are not in the seed."""

    def check(self, draft: Draft) -> str | None:
        found = rhetoric(draft.unquoted, draft.seed, draft.language)
        return ", ".join(found) if len(found) > self.max_rhetoric else None
