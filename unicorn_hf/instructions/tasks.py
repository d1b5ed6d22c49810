"""The three families of conversations: what is asked of a model, how its answer is read, what must hold of a turn."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import Example, Prompt
from unicorn_hf.core.recipe import PairRange, TaskName
from unicorn_hf.core.words import words
from unicorn_hf.instructions import filters
from unicorn_hf.instructions.filters import MAX_OPTION, MAX_QUESTION, Check
from unicorn_hf.instructions.formats import FORMATS, AnswerFormat, Fields
from unicorn_hf.instructions.turns import LETTERS, Turn

NUM_WRONG = len(LETTERS) - 1
_Text = Annotated[
    str, StringConstraints(strip_whitespace=True), AfterValidator(lambda text: " ".join(text.split()).rstrip(" ,;"))
]


class TaskFamily(ABC):
    """One family of conversations: prompt, schema, parser, validator."""

    name: ClassVar[TaskName]
    fields: ClassVar[Fields]
    """A pair, as it is shown to a model."""
    max_answer: ClassVar[int]
    """Characters. Strings have bounds: a guided model that may write on without end is cut off, and the answer lost."""
    checks: ClassVar[Mapping[str, Check]]
    """What must hold of a turn, by the name of the reason; in order."""

    def prompt(self, prompt: Prompt, pairs: PairRange, answer_format: AnswerFormat) -> Prompt:
        """The prompt with `{pairs}`, `{max}` and `{format}` filled in and its examples, which are JSON, in the format.

        Raises:
            ValueError: an example is not an answer of this family.
        """
        number = str(pairs.min) if pairs.min == pairs.max else f"{pairs.min} to {pairs.max}"

        def filled(text: str) -> str:
            places = {"{pairs}": number, "{max}": str(pairs.max), "{format}": answer_format.instruction(self.fields)}
            for name, value in places.items():
                text = text.replace(name, value)
            return text

        examples = [
            Example(subject=example.subject, answer=answer_format.write(self._shown(example.answer)))
            for example in prompt.examples
        ]
        return prompt.model_copy(
            update={"system": filled(prompt.system), "user": filled(prompt.user), "examples": tuple(examples)}
        )

    def json_schema(self, pairs: PairRange) -> str:
        """The JSON schema of an answer, as a string."""
        array = {"type": "array", "items": self._pair_schema(), "minItems": pairs.min, "maxItems": pairs.max}
        return json.dumps(_object({"pairs": array}))

    def parse(self, answer: Answer, answer_format: AnswerFormat, caption_id: str) -> tuple[Turn, ...] | Rejected:
        """The turns of an answer, or why it holds none. Never raises, whatever the text."""
        pairs = answer_format.read(answer, self.fields)
        return pairs if isinstance(pairs, Rejected) else self.turns(pairs, caption_id)

    def turns(self, pairs: Sequence[object], caption_id: str) -> tuple[Turn, ...] | Rejected:
        """Pairs as turns, or what is wrong with the shape of one."""
        try:
            return tuple(self._turn(pair, caption_id, index) for index, pair in enumerate(pairs))
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"])).encode(errors="replace").decode()
            return Rejected("wrong_shape", f"{place}: {detail['msg']}"[:200])

    def _shown(self, example: str) -> list[Fields]:
        pairs = FORMATS["json"].read(Answer(example, "stop", 0, 0), self.fields)
        found = [] if isinstance(pairs, Rejected) else [pair for pair in pairs if isinstance(pair, Mapping)]
        wrong = pairs if isinstance(pairs, Rejected) else self.turns(pairs, "")
        if isinstance(wrong, Rejected):
            raise ValueError(f"an example is no answer: {wrong.reason}, {wrong.detail}")
        return found

    @abstractmethod
    def _pair_schema(self) -> dict[str, object]: ...

    @abstractmethod
    def _turn(self, pair: object, caption_id: str, index: int) -> Turn:
        """A pair as a turn; raises pydantic's ValidationError if it has not the shape of one."""


class _QuestionFamily(TaskFamily):
    """Families whose answers are sentences."""

    fields: ClassVar[Fields] = {"question": "...", "answer": "..."}

    def _pair_schema(self) -> dict[str, object]:
        return _object({"question": _string("question", MAX_QUESTION), "answer": _string("answer", self.max_answer)})

    def _turn(self, pair: object, caption_id: str, index: int) -> Turn:
        read = _Pair.model_validate(pair)
        return Turn(read.question, read.answer)


class QuestionAnswering(_QuestionFamily):
    """Questions about what is to be seen, answered in a sentence or two."""

    name = "question_answering"
    max_answer = 400
    checks: ClassVar[Mapping[str, Check]] = {
        **filters.COMMON,
        "cut_text": filters.cut_text(max_answer),
        **filters.KNOWN,
        **filters.SENTENCES,
    }


class ComplexReasoning(_QuestionFamily):
    """Questions that take several steps, answered with the reasoning."""

    name = "complex_reasoning"
    max_answer = 800
    checks: ClassVar[Mapping[str, Check]] = {
        **filters.COMMON,
        "cut_text": filters.cut_text(max_answer),
        **filters.SENTENCES,
        **filters.REASONING,
    }


class MultipleChoice(TaskFamily):
    """Questions with four options, A to D, of which one is right.

    The model writes the right option first and three wrong ones after it, and no letters: these are given by a hash of
    the caption's id. Models favour a letter, and a set in which B is usually right teaches that; weak ones take any.
    """

    name = "multiple_choice"
    fields: ClassVar[Fields] = {"question": "...", "right": "...", "wrong": ["..."] * NUM_WRONG}
    max_answer = MAX_OPTION
    checks: ClassVar[Mapping[str, Check]] = {
        **filters.COMMON,
        "cut_text": filters.cut_text(max_answer),
        **filters.KNOWN,
        **filters.CHOICES,
    }

    def _pair_schema(self) -> dict[str, object]:
        option = _string("option", MAX_OPTION)
        wrong = {"type": "array", "items": option, "minItems": NUM_WRONG, "maxItems": NUM_WRONG}
        return _object({"question": _string("question", MAX_QUESTION), "right": option, "wrong": wrong})

    def _turn(self, pair: object, caption_id: str, index: int) -> Turn:
        read = _Choice.model_validate(pair)
        wrong = _distinct(read)
        number = stable_int("letter", caption_id, str(index))
        Random(number).shuffle(wrong)
        place = number % len(LETTERS)
        return Turn(read.question, LETTERS[place], (*wrong[:place], read.right, *wrong[place:]))


FAMILIES: Mapping[TaskName, TaskFamily] = {
    family.name: family for family in (MultipleChoice(), QuestionAnswering(), ComplexReasoning())
}


class _Pair(BaseModel):
    question: _Text
    answer: _Text


class _Choice(BaseModel):
    question: _Text
    right: _Text
    wrong: Annotated[list[_Text], Field(min_length=NUM_WRONG)]


def _distinct(choice: _Choice) -> list[str]:
    """Three wrong options that differ, if there are so many: without a grammar, models write more and repeat some."""
    distinct: dict[tuple[str, ...], str] = {}
    for option in choice.wrong:
        distinct.setdefault(tuple(words(option)), option)
    distinct.pop(tuple(words(choice.right)), None)
    return (list(distinct.values()) if len(distinct) >= NUM_WRONG else choice.wrong)[:NUM_WRONG]


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _string(title: str, max_length: int) -> dict[str, object]:
    return {"type": "string", "title": title, "minLength": 1, "maxLength": max_length}
