"""What a conversation must not say again."""

from functools import lru_cache

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.content import content_words
from unicorn_hf.core.words import count, words
from unicorn_hf.instructions.filters.base import A_SENTENCE, ConversationFilter, Scene
from unicorn_hf.instructions.turns import Turn

_ALIKE = 0.85
"""Answers that share more of their words (Jaccard) are one answer."""


@CONVERSATION_FILTERS.register("copied_example")
class CopiedExample(ConversationFilter):
    """No text is a sentence of the prompt's worked examples."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return next(filter(None, map(scene.prompt.copied, turn.texts)), None) if scene.prompt else None


@CONVERSATION_FILTERS.register("repeated_question")
class RepeatedQuestion(ConversationFilter):
    """A question asks what none before it asks, in whatever order of words."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        asked = _asked(turn.question, scene.language)
        again = any(asked == _asked(other.question, scene.language) for other in scene.kept)
        return turn.question if again else None


@CONVERSATION_FILTERS.register("repeated_answer")
class RepeatedAnswer(ConversationFilter):
    """An answer is not nearly that of a turn before it; short ones, `a dog`, may be."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        answer = _word_set(turn.answer)
        said = (words_of for other in scene.kept if count(words_of := _word_set(other.answer)) >= A_SENTENCE)
        return turn.answer if any(_alike(answer, other) for other in said) else None


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) > _ALIKE * len(one | other)


# Each turn is compared with all before it.
@lru_cache(maxsize=64)
def _word_set(text: str) -> frozenset[str]:
    return frozenset(words(text))


@lru_cache(maxsize=64)
def _asked(question: str, language: str) -> tuple[str, ...]:
    """What a question asks, whatever the order of its words: its first word, and its content words."""
    found, content = words(question), content_words(question, language)
    return (*found[:1], *sorted(set(content))) if content else tuple(found)
