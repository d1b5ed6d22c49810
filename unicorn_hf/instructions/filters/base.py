"""The interface of conversation filters, and the scene that they check against."""

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
"""Maximum characters."""
A_SENTENCE = 3
"""Answers with at least this many words must not repeat; shorter ones, `a dog`, may."""


class Scene:
    """The caption of a conversation, and its request."""

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
        """The caption's language, which selects the word lists."""
        self.languages = languages
        """The recipe's languages."""
        self.prompt = prompt
        """The prompt in its file."""
        self.max_answer = max_answer
        """Maximum characters of an answer in the schema."""
        self.kept: list[Turn] = []
        """The turns that passed all filters so far."""

    def grounded(self, text: str) -> float:
        """The share of the telling words of `text` that are in the caption; 1 if it has none."""
        telling = set(telling_words(text, self.language))
        return len(telling & self._content) / len(telling) if telling else 1.0

    def copied(self, text: str, num_words: int) -> str | None:
        """The first run of `num_words` words of `text` that is in the caption."""
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
    """A filter of turns, registered in `core.choices.CONVERSATION_FILTERS` under its rejection reason.

    Its fields are its bounds, which are keys of a task's `filters` in a recipe.
    """

    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that may be read from a published recipe, in addition to numbers and booleans."""

    @abstractmethod
    def check(self, turn: Turn, scene: Scene) -> str | None:
        """The error in a turn, usually its own words; None if it passes."""


def first_found(find: Callable[[str], str | None], texts: Iterable[str], whole: str) -> str | None:
    """The first match in `texts`. A search in `whole`, their lines, quickly excludes most texts."""
    return next(filter(None, map(find, texts)), None) if find(whole) else None


def found_of(kind: Kind, turn: Turn, scene: Scene, english: Finder) -> str | None:
    """The first match of a kind of phrases in a turn, without quotations; `english` finds them in English."""
    return first_found(lambda text: found_in(scene.language, kind, unquoted(text), english), turn.texts, turn.whole)
