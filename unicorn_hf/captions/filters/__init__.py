"""What a caption must be to be kept: a file for each filter, with its bounds; `base` says what a filter is.

A caption is rejected with the name of the first filter that it fails.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

# In the order in which they are asked. A module that is not named here is found too, and asked after these.
# isort: off
from unicorn_hf.captions.filters import empty, control, unfinished, refusal, caption_talk, markup  # noqa: F401
from unicorn_hf.captions.filters import unsafe, length, language, repetition, rhetoric, lost_seed, little_added  # noqa: F401

# isort: on
from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft, clean
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.source import source_identity

if TYPE_CHECKING:
    from unicorn_hf.core.prompts import Prompt
    from unicorn_hf.core.recipe import CaptionFilters

__all__ = ["CaptionFilter", "Draft", "check_caption", "clean", "code_identity", "judge"]


def judge(draft: Draft, filters: "CaptionFilters", prompt: "Prompt") -> str | Rejected:
    """The caption that an answer holds, or why it is none."""
    if copied := prompt.copied(draft.caption):
        return Rejected("copied_example", copied)
    return check_caption(draft, filters) or draft.caption


def check_caption(draft: Draft, filters: "CaptionFilters") -> Rejected | None:
    """The first filter that the caption does not pass, in a fixed order; None if it passes all."""
    if nothing := unanswered(draft.answer):
        return nothing
    for name, one in _asked(filters):
        detail = one.check(draft)
        if detail is not None:
            return Rejected(name, detail)
    return None


def code_identity() -> str:
    """Fingerprint of the code that decides which answers are captions: other code derives them anew."""
    return source_identity(__name__, "unicorn_hf.core.prompts")


@lru_cache(maxsize=16)
def _asked(filters: "CaptionFilters") -> tuple[tuple[str, CaptionFilter], ...]:
    """Our filters, then those of other packages in the recipe's order."""
    return tuple((name, filters.filter(name)) for name in (*filters.registry.own_names, *filters.others))
