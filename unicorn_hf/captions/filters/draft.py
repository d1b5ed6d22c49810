"""A caption on trial, with what its filters look at."""

from dataclasses import dataclass
from functools import cached_property

from unicorn_hf.core import talk
from unicorn_hf.core.generation import Answer


@dataclass(frozen=True)
class Draft:
    """The caption that an answer holds, and what it was asked for."""

    answer: Answer
    seed: str
    languages: tuple[str, ...] = ("en",)
    """The recipe's: codes like `en` or `pt-BR`."""

    @cached_property
    def caption(self) -> str:
        return clean(self.answer.text)

    @cached_property
    def unquoted(self) -> str:
        """The caption without what signs and people in the scene say."""
        return talk.unquoted(self.caption)


def clean(text: str) -> str:
    """An answer as a caption: no surrounding space or quotation marks, one line. Idempotent."""
    text = " ".join(text.split())
    while len(text) > 1 and text[0] in '"“' and text[-1] in '"”' and not any(mark in text[1:-1] for mark in '"“”'):
        text = text[1:-1].strip()
    return text
