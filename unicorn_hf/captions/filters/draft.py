"""A caption with the data that filters need."""

from dataclasses import dataclass
from functools import cached_property

from unicorn_hf.core import talk
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.language import language_of

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
