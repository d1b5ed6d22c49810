"""Rejects repetition loops of weak models."""

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.section import Fraction
from unicorn_hf.core.words import repeated_fraction


@CAPTION_FILTERS.register("repetition")
class Repetition(CaptionFilter):
    """A caption must not repeat itself."""

    max_repeated_fraction: Fraction = 0.25
    """Maximum share of the caption's 4-word runs that repeat an earlier one; loops far exceed it."""

    def check(self, draft: Draft) -> str | None:
        fraction = repeated_fraction(draft.caption)
        return f"{fraction:.2f} of its 4-word runs repeat" if fraction > self.max_repeated_fraction else None
