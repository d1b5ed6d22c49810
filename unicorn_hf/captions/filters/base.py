"""The interface of caption filters, and the draft that they check."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from unicorn_hf.core import talk
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.language import language_of
from unicorn_hf.core.section import Section

_PAIRS = frozenset(opening + closing for opening in '"“' for closing in '"”') | {"„“", "„”", "«»", "「」", "『』"}
_MARKS = '"“”„«»「」『』'


@dataclass(frozen=True)
class Draft:
    """The caption in an answer, with its seed and languages."""

    answer: Answer
    seed: str
    languages: tuple[str, ...] = ("en",)
    """The recipe's language codes, such as `en` or `pt-BR`."""
    is_across: bool = False
    """Whether its seed is in another language, and so shares no words with it."""

    @cached_property
    def caption(self) -> str:
        return clean(self.answer.text)

    @cached_property
    def language(self) -> str:
        """The most likely of the recipe's languages for the caption."""
        return language_of(self.unquoted, self.languages)

    @cached_property
    def unquoted(self) -> str:
        """The caption without quotations, which signs and people in the scene say."""
        return talk.unquoted(self.caption)


def clean(text: str) -> str:
    """An answer as a caption: one line, without surrounding space or quotation marks. Idempotent."""
    text = " ".join(text.split())
    while len(text) > 1 and text[0] + text[-1] in _PAIRS and not any(mark in text[1:-1] for mark in _MARKS):
        text = text[1:-1].strip()
    return text


class CaptionFilter(Section, ABC):
    """A caption filter, registered in `core.choices.CAPTION_FILTERS` under its rejection reason.

    Its fields are its bounds, which are keys of `captions.filters` in a recipe.
    """

    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that may be read from a published recipe, in addition to numbers and booleans."""

    @abstractmethod
    def check(self, draft: Draft) -> str | None:
        """The error in the caption, for the rejection; None if it passes."""
