"""Conversation filters, a class for each; `base` has the interface.

The name of the first filter that a turn fails is the rejection reason. Each task lists its filters in order; the groups
here are shared by several tasks.
"""

# The order of listings. The registry finds other modules too.
# isort: off
from unicorn_hf.instructions.filters import any_text, grounding, sentences, options, repeats  # noqa: F401

# isort: on
from unicorn_hf.instructions.filters.base import MAX_OPTION, MAX_QUESTION, ConversationFilter, Scene

__all__ = [
    "ANY_TEXT", "CHOICES", "MAX_OPTION", "MAX_QUESTION", "REPEATS", "SENTENCES", "ConversationFilter", "Scene",
]  # fmt: skip

ANY_TEXT = (
    "empty_text", "unsafe", "caption_talk", "refusal", "markup", "garbled", "personal", "language", "not_a_question",
    "ungrounded_question", "ungrounded_answer", "cut_text",
)  # fmt: skip
SENTENCES = ("echoed_question", "repetition", "asks_back", "unfinished_answer", "copied_caption")
CHOICES = ("other_options", "listed_options", "equal_options", "given_away")
REPEATS = ("copied_example", "repeated_question", "repeated_answer")
