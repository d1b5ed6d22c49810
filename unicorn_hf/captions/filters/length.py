"""Rejects captions by their number of words."""

from typing import Self

from pydantic import PositiveInt, model_validator

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.words import num_words


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
