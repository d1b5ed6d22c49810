"""Caption filters, each in its own file with its bounds; `base` has the interface.

The name of the first failed filter is the rejection reason.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

# The order of the filters. The registry finds other modules too, and runs them after these.
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
    """The caption in an answer, or why it is rejected."""
    if copied := prompt.copied(draft.caption):
        return Rejected("copied_example", copied)
    return check_caption(draft, filters) or draft.caption


def check_caption(draft: Draft, filters: "CaptionFilters") -> Rejected | None:
    """The first filter that the caption fails, in a fixed order; None if it passes all."""
    if nothing := unanswered(draft.answer):
        return nothing
    for name, one in _asked(filters):
        detail = one.check(draft)
        if detail is not None:
            return Rejected(name, detail)
    return None


def code_identity() -> str:
    """Fingerprint of the code that accepts answers as captions: changed code derives them again."""
    return source_identity(__name__, "unicorn_hf.core.prompts")


@lru_cache(maxsize=16)
def _asked(filters: "CaptionFilters") -> tuple[tuple[str, CaptionFilter], ...]:
    """Our filters, then those of other packages in the recipe's order."""
    return tuple((name, filters.filter(name)) for name in (*filters.registry.own_names, *filters.others))
