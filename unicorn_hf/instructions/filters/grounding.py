"""What a conversation has of its caption: its subjects, and not its sentences."""

from pydantic import PositiveInt

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.section import Fraction
from unicorn_hf.instructions.filters.base import ConversationFilter, Scene
from unicorn_hf.instructions.turns import Turn


class _Grounded(ConversationFilter):
    min_grounded: Fraction = 0.1
    """Share of the telling words of a question, and of its right answer, that the caption must have too."""


@CONVERSATION_FILTERS.register("ungrounded_question")
class UngroundedQuestion(_Grounded):
    """A question is about what the caption tells of."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return turn.question if scene.grounded(turn.question) < self.min_grounded else None


@CONVERSATION_FILTERS.register("ungrounded_answer")
class UngroundedAnswer(_Grounded):
    """So is its right answer."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return turn.right_answer if scene.grounded(turn.right_answer) < self.min_grounded else None


@CONVERSATION_FILTERS.register("copied_caption")
class CopiedCaption(ConversationFilter):
    """An answer has words of its own."""

    max_copied_words: PositiveInt = 12
    """Words of the caption that an answer may repeat in a row."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return scene.copied(turn.answer, self.max_copied_words + 1)
