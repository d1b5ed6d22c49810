"""A caption on trial, with what its filters look at."""

from dataclasses import dataclass
from functools import cached_property

from unicorn_hf.core import talk
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.language import language_of

_PAIRS = frozenset(opening + closing for opening in '"“' for closing in '"”') | {"„“", "„”", "«»", "「」", "『』"}
_MARKS = '"“”„«»「」『』'


@dataclass(frozen=True)
class Draft:
    """The caption that an answer holds, and what it was asked for."""

    answer: Answer
    seed: str
    languages: tuple[str, ...] = ("en",)
    """The recipe's: codes like `en` or `pt-BR`."""
    is_across: bool = False
    """Whether its seed is in another language, and so has none of its words."""

    @cached_property
    def caption(self) -> str:
        return clean(self.answer.text)

    @cached_property
    def language(self) -> str:
        """That of the recipe's languages that the caption is in, as far as this can be told."""
        return language_of(self.unquoted, self.languages)

    @cached_property
    def unquoted(self) -> str:
        """The caption without what signs and people in the scene say."""
        return talk.unquoted(self.caption)


def clean(text: str) -> str:
    """An answer as a caption: no surrounding space or quotation marks, one line. Idempotent."""
    text = " ".join(text.split())
    while len(text) > 1 and text[0] + text[-1] in _PAIRS and not any(mark in text[1:-1] for mark in _MARKS):
        text = text[1:-1].strip()
    return text
