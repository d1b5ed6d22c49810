"""Rejects empty captions."""

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS


@CAPTION_FILTERS.register("empty")
class Empty(CaptionFilter):
    """A caption must have text."""

    def check(self, draft: Draft) -> str | None:
        return None if draft.caption else "no text"
