"""Filters that compare a conversation with its caption: it shares the subjects, but not the sentences."""

from pydantic import PositiveInt

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.section import Fraction
from unicorn_hf.instructions.filters.base import ConversationFilter, Scene
from unicorn_hf.instructions.turns import Turn


class _Grounded(ConversationFilter):
    min_grounded: Fraction = 0.1
    """Minimum share of the telling words of a question, and of its right answer, that are in the caption."""


@CONVERSATION_FILTERS.register("ungrounded_question")
class UngroundedQuestion(_Grounded):
    """A question must be about the caption's content."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return turn.question if scene.grounded(turn.question) < self.min_grounded else None


@CONVERSATION_FILTERS.register("ungrounded_answer")
class UngroundedAnswer(_Grounded):
    """A right answer must be about the caption's content."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return turn.right_answer if scene.grounded(turn.right_answer) < self.min_grounded else None


@CONVERSATION_FILTERS.register("copied_caption")
class CopiedCaption(ConversationFilter):
    """An answer must not copy the caption."""

    max_copied_words: PositiveInt = 12
    """Maximum number of consecutive words of the caption that an answer may repeat."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return scene.copied(turn.answer, self.max_copied_words + 1)
