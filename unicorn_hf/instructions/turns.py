"""Turns of a conversation, and their format for trainers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Turn:
    """One question and its answer; `options` A to D for multiple choice, else empty."""

    question: str
    answer: str
    """A letter if there are options."""
    options: tuple[str, ...] = ()

    @cached_property
    def texts(self) -> tuple[str, ...]:
        return (self.question, self.answer, *self.options)

    @property
    def right_answer(self) -> str:
        """The answer as text: the right option of multiple choice."""
        return self.options[LETTERS.index(self.answer)] if self.options else self.answer


def conversation(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns in LLaVA's format: human and gpt alternate, with `<image>` in the first human turn only."""
    messages = []
    for index, turn in enumerate(turns):
        image = "<image>\n" if index == 0 else ""
        messages += [
            {"from": "human", "value": f"{image}{question_with_options(turn)}"},
            {"from": "gpt", "value": turn.answer},
        ]
    return messages


def question_with_options(turn: Turn) -> str:
    options = "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, turn.options, strict=False))
    return f"{turn.question}{options}"
