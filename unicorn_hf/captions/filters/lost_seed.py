"""Rejects captions that lose their seed's words."""

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.captions.filters.seed import lost_words, seed_words
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.section import Fraction


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
