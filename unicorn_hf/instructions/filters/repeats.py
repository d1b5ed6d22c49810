"""Filters of repetitions in a conversation."""

from functools import lru_cache

from unicorn_hf.core.content import content_words
from unicorn_hf.core.words import count, words
from unicorn_hf.instructions.filters.base import A_SENTENCE, Scene, conversation_filter
from unicorn_hf.instructions.turns import Turn

_ALIKE = 0.85
"""Jaccard similarity above which two answers count as equal."""


@conversation_filter
def _copied_example(turn: Turn, scene: Scene) -> str | None:
    """No text may copy a sentence of the prompt's examples."""
    return next(filter(None, map(scene.prompt.copied, turn.texts)), None) if scene.prompt else None


@conversation_filter
def _repeated_question(turn: Turn, scene: Scene) -> str | None:
    """A question must not repeat an earlier one, in any word order."""
    asked = _asked(turn.question, scene.language)
    again = any(asked == _asked(other.question, scene.language) for other in scene.kept)
    return turn.question if again else None


@conversation_filter
def _repeated_answer(turn: Turn, scene: Scene) -> str | None:
    """An answer must not nearly repeat an earlier one; short ones, `a dog`, may."""
    answer = _word_set(turn.answer)
    said = (words_of for other in scene.kept if count(words_of := _word_set(other.answer)) >= A_SENTENCE)
    return turn.answer if any(len(answer & one) > _ALIKE * len(answer | one) for one in said) else None


@lru_cache(maxsize=64)
def _word_set(text: str) -> frozenset[str]:
    return frozenset(words(text))


@lru_cache(maxsize=64)
def _asked(question: str, language: str) -> tuple[str, ...]:
    """The content of a question in any word order: its first word, and its content words."""
    found, content = words(question), content_words(question, language)
    return (*found[:1], *sorted(set(content))) if content else tuple(found)
