"""Rejects control characters."""

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.visible import control_character


@CAPTION_FILTERS.register("control")
class Control(CaptionFilter):
    """A caption must not contain control characters."""

    def check(self, draft: Draft) -> str | None:
        char = control_character(draft.caption)
        return f"U+{ord(char):04X}" if char else None
