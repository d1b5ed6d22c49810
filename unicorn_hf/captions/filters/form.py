"""Filters of a caption's form: text, without control characters, up to the end of a sentence."""

from unicorn_hf.captions.filters.base import CaptionFilter, Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.sentences import is_finished
from unicorn_hf.core.visible import control_character


@CAPTION_FILTERS.register("empty")
class Empty(CaptionFilter):
    """A caption must have text."""

    def check(self, draft: Draft) -> str | None:
        return None if draft.caption else "no text"


@CAPTION_FILTERS.register("control")
class Control(CaptionFilter):
    """A caption must not contain control characters."""

    def check(self, draft: Draft) -> str | None:
        return control_character(draft.caption)


@CAPTION_FILTERS.register("unfinished")
class Unfinished(CaptionFilter):
    """A caption must end with a complete sentence."""

    def check(self, draft: Draft) -> str | None:
        if draft.answer.finish_reason == "length":
            return "cut at max_tokens"
        return None if is_finished(draft.caption) else f"ends with {draft.caption[-20:]!r}"
