"""Caption filters, a class with its bounds for each; `base` has the interface.

The name of the first failed filter is the rejection reason.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

# The order of the filters. The registry finds other modules too, and runs them after these.
# isort: off
from unicorn_hf.captions.filters import form, chat, wording, seed  # noqa: F401

# isort: on
from unicorn_hf.captions.filters.base import CaptionFilter, Draft, clean
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.source import source_identity

if TYPE_CHECKING:
    from unicorn_hf.core.prompts import Prompt
    from unicorn_hf.core.recipe import CaptionFilters

__all__ = ["CaptionFilter", "Draft", "clean", "code_identity", "judge"]


def judge(draft: Draft, filters: "CaptionFilters", prompt: "Prompt") -> str | Rejected:
    """The caption in an answer, or the first filter that it fails, in a fixed order."""
    if copied := prompt.copied(draft.caption):
        return Rejected("copied_example", copied)
    if nothing := unanswered(draft.answer):
        return nothing
    for name, one in _asked(filters):
        if (detail := one.check(draft)) is not None:
            return Rejected(name, detail)
    return draft.caption


def code_identity() -> str:
    """Fingerprint of the code that accepts answers as captions: changed code derives them again."""
    return source_identity(__name__, "unicorn_hf.core.prompts")


@lru_cache(maxsize=16)
def _asked(filters: "CaptionFilters") -> tuple[tuple[str, CaptionFilter], ...]:
    """Our filters, then those of other packages in the recipe's order."""
    return tuple((name, filters.filter(name)) for name in (*filters.registry.own_names, *filters.others))
