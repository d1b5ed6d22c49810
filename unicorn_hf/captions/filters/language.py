"""Rejects captions in another language."""

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.language import foreign


@CAPTION_FILTERS.register("language")
class Language(CaptionFilter):
    """A caption must be in one of the recipe's languages."""

    check_language: bool = True
    """Whether captions must be in the recipe's `language`, without a second script; quotations are exempt."""

    def check(self, draft: Draft) -> str | None:
        return foreign(draft.unquoted, draft.languages) if self.check_language else None
