"""Rejects evaluative words."""

from pydantic import NonNegativeInt

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.word_lists import rhetoric


@CAPTION_FILTERS.register("rhetoric")
class Rhetoric(CaptionFilter):
    """A caption must describe the visible, without evaluation."""

    max_rhetoric: NonNegativeInt = 0
    """Maximum number of evaluative words and phrases that are not in the seed."""

    def check(self, draft: Draft) -> str | None:
        found = rhetoric(draft.unquoted, draft.seed, draft.language)
        return ", ".join(found) if len(found) > self.max_rhetoric else None
