"""What a conversation must be to be kept. The model that is trained on it sees an image, never a caption."""

import re
from collections.abc import Sequence

from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import PairRange, TaskName
from unicorn_hf.core.words import words
from unicorn_hf.instructions.tasks import Turn

_CAPTION_TALK = re.compile(
    r"\b(?:caption|description|passage|paragraph|prompt)s?\b"
    r"|\b(?:the|this|that|given|above|provided) (?:text|sentence|information|context)\b"
    r"|\b(?:is|are|was|were|as) (?:mentioned|described|stated|specified)\b"
    r"|\baccording to the\b|<image>|\bas an ai\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"```|\*\*|</?\w+>")


def check_conversation(task: TaskName, turns: Sequence[Turn], pairs: PairRange) -> Rejected | None:
    """The first thing that is wrong with a conversation, or None."""
    if not pairs.min <= len(turns) <= pairs.max:
        return Rejected("wrong_count", f"{len(turns)} pairs, {pairs.min} to {pairs.max} are wanted")
    seen: set[str] = set()
    for turn in turns:
        texts = (turn.question, turn.answer, *turn.options)
        if not all(words(text) for text in texts):
            return Rejected("empty_text", turn.question[:80])
        for text in texts:
            if talk := _CAPTION_TALK.search(text):
                return Rejected("caption_talk", repr(talk.group()))
            if mark := _MARKUP.search(text):
                return Rejected("markup", repr(mark.group()))
        if len({" ".join(words(option)) for option in turn.options}) < len(turn.options):
            return Rejected("equal_options", turn.question[:80])
        question = " ".join(words(turn.question))
        if question in seen:
            return Rejected("repeated_question", turn.question[:80])
        if task != "multiple_choice" and " ".join(words(turn.answer)) == question:
            return Rejected("echoed_question", turn.question[:80])
        seen.add(question)
    return None
