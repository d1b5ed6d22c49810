"""Rejects captions that add little to their seed."""

from pydantic import NonNegativeInt

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.captions.filters.seed import added_words
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.languages import has_content_words
from unicorn_hf.core.words import count


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
