"""What a filter of conversations is, and what it judges by."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import ClassVar

from unicorn_hf.core.content import content_words, telling_words
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, Kind, found_in
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.section import Section
from unicorn_hf.core.talk import unquoted
from unicorn_hf.core.words import runs
from unicorn_hf.instructions.turns import Turn

MAX_QUESTION, MAX_OPTION = 240, 100
"""Characters."""
A_SENTENCE = 3
"""Words of an answer that may not come twice; shorter ones, `a dog`, may."""


class Scene:
    """What a conversation is about, and how it was asked for."""

    def __init__(
        self,
        caption: str,
        language: str = ENGLISH,
        languages: Sequence[str] = (ENGLISH,),
        *,
        prompt: Prompt | None = None,
        max_answer: int = 10_000,
    ) -> None:
        self._caption = caption
        self._runs_of: dict[int, set[tuple[str, ...]]] = {}
        self.language = language
        """The caption's, in which its conversation is judged."""
        self.languages = languages
        """The recipe's."""
        self.prompt = prompt
        """As it stands in its file."""
        self.max_answer = max_answer
        """Characters that the schema has room for."""
        self.kept: list[Turn] = []
        """The turns of the conversation that passed all filters so far."""

    def grounded(self, text: str) -> float:
        """The share of the telling words of `text` that the caption has too; 1 where it has none."""
        telling = set(telling_words(text, self.language))
        return len(telling & self._content) / len(telling) if telling else 1.0

    def copied(self, text: str, num_words: int) -> str | None:
        """The first run of `num_words` words of `text` that stands in the caption too."""
        there = self._runs(num_words)
        return next((" ".join(run) for run in runs(text, num_words) if run in there), None)

    def _runs(self, num_words: int) -> set[tuple[str, ...]]:
        if num_words not in self._runs_of:
            self._runs_of[num_words] = set(runs(self._caption, num_words))
        return self._runs_of[num_words]

    @cached_property
    def _content(self) -> frozenset[str]:
        return frozenset(content_words(self._caption, self.language))


class ConversationFilter(Section, ABC):
    """A filter of turns, registered in `core.choices.CONVERSATION_FILTERS` under the reason that it rejects with.

    Its fields are its bounds, which are keys of a task's `filters` in a recipe.
    """

    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that a published recipe may bring, beside those that are numbers or yes and no."""

    @abstractmethod
    def check(self, turn: Turn, scene: Scene) -> str | None:
        """What is wrong with a turn, in its own words; None if nothing is."""


def first_found(find: Callable[[str], str | None], texts: Iterable[str], whole: str) -> str | None:
    """What is found first in `texts`. Most have nothing, which is seen at once in `whole`, all of them as lines."""
    return next(filter(None, map(find, texts)), None) if find(whole) else None


def found_of(kind: Kind, turn: Turn, scene: Scene, english: Finder) -> str | None:
    """What the lists or patterns of the scene's language find first in a turn, signs and quoted words aside."""
    return first_found(lambda text: found_in(scene.language, kind, unquoted(text), english), turn.texts, turn.whole)
