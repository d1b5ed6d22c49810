"""Questions with four options, A to D, one of them right."""

from random import Random
from typing import Annotated

from pydantic import BaseModel, Field

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.generation import json_object
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.task import PairRange, PromptChoice, Weight
from unicorn_hf.core.words import words
from unicorn_hf.instructions.filters import ANY_TEXT, CHOICES, MAX_OPTION, MAX_QUESTION, REPEATS
from unicorn_hf.instructions.tasks.base import TaskFamily, Text, json_string
from unicorn_hf.instructions.turns import LETTERS, Turn

NUM_WRONG = len(LETTERS) - 1


@TASKS.register("multiple_choice")
class MultipleChoice(TaskFamily):
    """A question, the right option, three wrong ones.

    The model writes the right option first and three wrong ones after it, without letters; a hash of the caption's id
    assigns them. Models favour certain letters, and a set in which B is usually right teaches that.
    """

    weight: Weight = 171.0
    pairs: PairRange = PairRange(min=6, max=8)
    prompt: PromptChoice = "multiple_choice-v2"
    fields = {"question": "...", "right": "...", "wrong": ["..."] * NUM_WRONG}
    max_answer = MAX_OPTION
    checks = (*ANY_TEXT, "not_known", *CHOICES, *REPEATS)
    has_options = True

    def _pair_schema(self) -> dict[str, object]:
        option = json_string("option", MAX_OPTION)
        wrong = {"type": "array", "items": option, "minItems": NUM_WRONG, "maxItems": NUM_WRONG}
        return json_object({"question": json_string("question", MAX_QUESTION), "right": option, "wrong": wrong})

    def _turn(self, pair: object, caption_id: str, index: int) -> Turn:
        read = _Choice.model_validate(pair)
        wrong = _distinct(read)
        number = stable_int("letter", caption_id, str(index))
        Random(number).shuffle(wrong)
        place = number % len(LETTERS)
        return Turn(read.question, LETTERS[place], (*wrong[:place], read.right, *wrong[place:]))


class _Choice(BaseModel):
    question: Text
    right: Text
    wrong: Annotated[list[Text], Field(min_length=NUM_WRONG)]


def _distinct(choice: _Choice) -> list[str]:
    """Three different wrong options, if there are as many: without a grammar, models write more and repeat some."""
    distinct: dict[tuple[str, ...], str] = {}
    for option in choice.wrong:
        distinct.setdefault(tuple(words(option)), option)
    distinct.pop(tuple(words(choice.right)), None)
    return (list(distinct.values()) if len(distinct) >= NUM_WRONG else choice.wrong)[:NUM_WRONG]
