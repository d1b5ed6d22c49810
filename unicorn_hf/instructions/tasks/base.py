"""The interface of conversation tasks: prompt, parser and filters."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, cast

from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError

from unicorn_hf.core.generation import Answer, json_object
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import Example, Prompt
from unicorn_hf.core.task import InstructionFilters, Task
from unicorn_hf.instructions.filters import MAX_QUESTION, ConversationFilter, Scene
from unicorn_hf.instructions.formats import FORMATS, AnswerFormat, Fields
from unicorn_hf.instructions.turns import Turn

Text = Annotated[
    str, StringConstraints(strip_whitespace=True), AfterValidator(lambda text: " ".join(text.split()).rstrip(" ,;"))
]


class TaskFamily(Task, ABC):
    """One family of conversations: prompt, schema, parser, filters. It is the task's section in a recipe.

    Register it in `core.choices.TASKS`, with defaults for `weight`, `pairs` and `prompt`. A prompt that is not bundled
    with unicorn-hf is a `Prompt`, or the absolute path of a file.
    """

    fields: ClassVar[Fields]
    """An example pair for the model."""
    max_answer: ClassVar[int]
    """Maximum characters of an answer. Without a bound, a guided model could write until it is cut off."""
    checks: ClassVar[tuple[str, ...]]
    """Names of the filters of a turn, in order; filters of other packages that a recipe names come after them."""
    has_options: ClassVar[bool] = False
    """Whether questions have options A to D, and answers are a letter."""

    def asked(self, source: Prompt) -> Prompt:
        """Fill in a prompt's `{pairs}`, `{max}` and `{format}`, and convert its JSON examples to the format.

        Raises:
            ValueError: an example is not an answer of this family.
        """
        pairs, answer_format = self.pairs, self.answer_format
        number = str(pairs.min) if pairs.min == pairs.max else f"{pairs.min} to {pairs.max}"

        def filled(text: str) -> str:
            places = {"{pairs}": number, "{max}": str(pairs.max), "{format}": answer_format.instruction(self.fields)}
            for name, value in places.items():
                text = text.replace(name, value)
            return text

        examples = [
            Example(subject=example.subject, answer=answer_format.write(self._shown(example.answer)))
            for example in source.examples
        ]
        return source.model_copy(
            update={"system": filled(source.system), "user": filled(source.user), "examples": tuple(examples)}
        )

    @property
    def answer_format(self) -> AnswerFormat:
        return FORMATS[self.format]

    def json_schema(self) -> str:
        """The JSON schema of an answer, as a string."""
        pairs = self.pairs
        array = {"type": "array", "items": self._pair_schema(), "minItems": pairs.min, "maxItems": pairs.max}
        return json.dumps(json_object({"pairs": array}))

    def parse(self, answer: Answer, caption_id: str) -> tuple[Turn, ...] | Rejected:
        """The turns of an answer, or why it is rejected. Never raises."""
        pairs = self.answer_format.read(answer, self.fields)
        return pairs if isinstance(pairs, Rejected) else self.turns(pairs, caption_id)

    def turns(self, pairs: Sequence[object], caption_id: str) -> tuple[Turn, ...] | Rejected:
        """Pairs as turns, or the error in the shape of one."""
        try:
            return tuple(self._turn(pair, caption_id, index) for index, pair in enumerate(pairs))
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"])).encode(errors="replace").decode()
            return Rejected("wrong_shape", f"{place}: {detail['msg']}"[:200])

    def good_turns(self, turns: Sequence[Turn], scene: Scene) -> tuple[list[Turn], list[Rejected]]:
        """The turns that pass all filters, as `scene.kept`, and for each other one the first filter that it fails."""
        filters = _asked_filters(self.checks, self.filters)
        bad = []
        for turn in turns:
            found = ((name, one.check(turn, scene)) for name, one in filters)
            wrong = next((Rejected(name, detail[:200]) for name, detail in found if detail is not None), None)
            if wrong:
                bad.append(wrong)
            else:
                scene.kept.append(turn)
        return scene.kept, bad

    def _shown(self, example: str) -> list[Fields]:
        pairs = FORMATS["json"].read(Answer(example, "stop", 0, 0), self.fields)
        wrong = pairs if isinstance(pairs, Rejected) else self.turns(pairs, "")
        if isinstance(wrong, Rejected):
            raise ValueError(f"an example is not a valid answer: {wrong.reason}, {wrong.detail}")
        return cast("list[Fields]", pairs)

    @abstractmethod
    def _pair_schema(self) -> dict[str, object]: ...

    @abstractmethod
    def _turn(self, pair: object, caption_id: str, index: int) -> Turn:
        """A pair as a turn; raises pydantic's ValidationError if it has the wrong shape."""


class QuestionFamily(TaskFamily):
    """Base class of tasks whose answers are sentences."""

    fields: ClassVar[Fields] = {"question": "...", "answer": "..."}

    def _pair_schema(self) -> dict[str, object]:
        return json_object(
            {"question": json_string("question", MAX_QUESTION), "answer": json_string("answer", self.max_answer)}
        )

    def _turn(self, pair: object, caption_id: str, index: int) -> Turn:
        read = _Pair.model_validate(pair)
        return Turn(read.question, read.answer)


class _Pair(BaseModel):
    question: Text
    answer: Text


@lru_cache(maxsize=64)
def _asked_filters(checks: tuple[str, ...], filters: InstructionFilters) -> list[tuple[str, ConversationFilter]]:
    names = [name for name in (*checks, *filters.others) if name not in filters.without]
    return [(name, filters.filter(name)) for name in names]


def json_string(title: str, max_length: int) -> dict[str, object]:
    """The JSON schema of a text."""
    return {"type": "string", "title": title, "minLength": 1, "maxLength": max_length}
