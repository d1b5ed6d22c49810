"""The interface of conversation filters, and the scene that they check against."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import ClassVar

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.content import content_words, telling_words
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, Kind, found_in
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.section import Section
from unicorn_hf.core.talk import unquoted
from unicorn_hf.core.words import runs
from unicorn_hf.instructions.turns import Turn

MAX_QUESTION, MAX_OPTION = 240, 100
"""Maximum characters."""
A_SENTENCE = 3
"""Answers with at least this many words must not repeat; shorter ones, `a dog`, may."""


@dataclass
class Scene:
    """The caption of a conversation, and its request."""

    caption: str
    language: str = ENGLISH
    """The caption's language, which selects the word lists."""
    languages: Sequence[str] = (ENGLISH,)
    """The recipe's languages."""
    prompt: Prompt | None = None
    """The prompt in its file."""
    max_answer: int = 10_000
    """Maximum characters of an answer in the schema."""
    kept: list[Turn] = field(default_factory=list)
    """The turns that passed all filters so far."""

    def grounded(self, text: str) -> float:
        """The share of the telling words of `text` that are in the caption; 1 if it has none."""
        telling = set(telling_words(text, self.language))
        return len(telling & self._content) / len(telling) if telling else 1.0

    def copied(self, text: str, num_words: int) -> str | None:
        """The first run of `num_words` words of `text` that is in the caption."""
        there = _runs(self.caption, num_words)
        return next((" ".join(run) for run in runs(text, num_words) if run in there), None)

    @cached_property
    def _content(self) -> frozenset[str]:
        return frozenset(content_words(self.caption, self.language))


@lru_cache(maxsize=4)
def _runs(caption: str, num_words: int) -> frozenset[tuple[str, ...]]:
    return frozenset(runs(caption, num_words))


class ConversationFilter(Section, ABC):
    """A filter of turns, registered in `core.choices.CONVERSATION_FILTERS` under its rejection reason.

    Its fields are its bounds, which are keys of a task's `filters` in a recipe.
    """

    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that may be read from a published recipe, in addition to numbers and booleans."""

    @abstractmethod
    def check(self, turn: Turn, scene: Scene) -> str | None:
        """The error in a turn, usually its own words; None if it passes."""


Check = Callable[[Turn, Scene], str | None]


def conversation_filter(found: Check) -> Check:
    """Register a check without bounds as a filter. Its name, after an underscore, is the rejection reason."""

    @CONVERSATION_FILTERS.register(found.__name__.removeprefix("_"))
    class Unbounded(ConversationFilter):
        def check(self, turn: Turn, scene: Scene) -> str | None:
            return found(turn, scene)

    return found


def first_found(find: Callable[[str], str | None], texts: Iterable[str]) -> str | None:
    """The first match in `texts`. A search in all of them, a line each, quickly excludes most."""
    return next(filter(None, map(find, texts)), None) if find("\n".join(texts)) else None


def found_of(kind: Kind, turn: Turn, scene: Scene, english: Finder) -> str | None:
    """The first match of a kind of phrases in a turn, without quotations; `english` finds them in English."""
    return first_found(lambda text: found_in(scene.language, kind, unquoted(text), english), turn.texts)
