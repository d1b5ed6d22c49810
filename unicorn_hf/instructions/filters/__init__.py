"""What a turn of a conversation must be to be kept: a class for each filter; `base` says what a filter is.

A turn is rejected with the name of the first filter that it fails. Each task names its filters, in order; the groups
here are what several tasks have in common.
"""

from collections.abc import Sequence

# In the order in which they are listed. A module that is not named here is found too.
# isort: off
from unicorn_hf.instructions.filters import any_text, questions, grounding, answers, options, repeats  # noqa: F401

# isort: on
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.instructions.filters.base import MAX_OPTION, MAX_QUESTION, ConversationFilter, Scene
from unicorn_hf.instructions.turns import Turn

__all__ = [
    "ANY_TEXT", "CHOICES", "MAX_OPTION", "MAX_QUESTION", "REPEATS", "SENTENCES", "ConversationFilter", "Scene",
    "good_turns",
]  # fmt: skip

ANY_TEXT = (
    "empty_text", "unsafe", "caption_talk", "refusal", "markup", "garbled", "personal", "language", "not_a_question",
    "ungrounded_question", "ungrounded_answer", "cut_text",
)  # fmt: skip
SENTENCES = ("echoed_question", "repetition", "asks_back", "unfinished_answer", "copied_caption")
CHOICES = ("other_options", "listed_options", "equal_options", "given_away")
REPEATS = ("copied_example", "repeated_question", "repeated_answer")

Named = Sequence[tuple[str, ConversationFilter]]
"""Filters with their names, in the order in which they are asked."""


def good_turns(turns: Sequence[Turn], scene: Scene, filters: Named) -> tuple[list[Turn], list[Rejected]]:
    """The turns that pass all filters, and why the others do not. `scene` then has them as its turns."""
    good: list[Turn] = []
    bad: list[Rejected] = []
    for turn in turns:
        if wrong := _wrong(turn, scene, filters):
            bad.append(wrong)
        else:
            good.append(turn)
            scene.kept.append(turn)
    return good, bad


def _wrong(turn: Turn, scene: Scene, filters: Named) -> Rejected | None:
    """The first filter that the turn does not pass."""
    for name, one in filters:
        if (detail := one.check(turn, scene)) is not None:
            return Rejected(name, detail[:200])
    return None
