"""Conversation filters, a class for each; `base` has the interface.

The name of the first filter that a turn fails is the rejection reason. Each task lists its filters in order; the groups
here are shared by several tasks.
"""

from collections.abc import Sequence

# The order of listings. The registry finds other modules too.
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
"""Filters with their names, in order."""


def good_turns(turns: Sequence[Turn], scene: Scene, filters: Named) -> tuple[list[Turn], list[Rejected]]:
    """The turns that pass all filters, and why the others fail. Adds them to `scene.kept`."""
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
    """The first filter that the turn fails."""
    for name, one in filters:
        if (detail := one.check(turn, scene)) is not None:
            return Rejected(name, detail[:200])
    return None
