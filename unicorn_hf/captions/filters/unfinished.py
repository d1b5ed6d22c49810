"""Rejects truncated answers, and captions that end in the middle of a sentence."""

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.sentences import is_finished


@CAPTION_FILTERS.register("unfinished")
class Unfinished(CaptionFilter):
    """A caption must end with a complete sentence."""

    def check(self, draft: Draft) -> str | None:
        if draft.answer.finish_reason == "length":
            return "cut at max_tokens"
        return None if is_finished(draft.caption) else f"ends with {draft.caption[-20:]!r}"
