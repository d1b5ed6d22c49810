"""Rejects words of unsafe content."""

from typing import ClassVar

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.section import Strings
from unicorn_hf.core.word_lists import unsafe


@CAPTION_FILTERS.register("unsafe")
class Unsafe(CaptionFilter):
    """A caption must not contain a word from the list of unsafe content."""

    taken_keys: ClassVar[tuple[str, ...]] = ("unsafe_words",)
    forbid_unsafe: bool = True
    unsafe_words: Strings = ()
    """Words and phrases to add to the list of unsafe content; `*` matches the rest of a word."""

    def check(self, draft: Draft) -> str | None:
        return unsafe(draft.caption, self.unsafe_words, draft.language) if self.forbid_unsafe else None
