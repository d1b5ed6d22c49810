"""The three families of conversations: what is asked of the model, and how its answer is read."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import PairRange, TaskName

LETTERS = ("A", "B", "C", "D")
Letter = Literal["A", "B", "C", "D"]
_Text = Annotated[str, StringConstraints(strip_whitespace=True)]

_MAX_QUESTION = 240
_MAX_OPTION = 100
_MAX_ANSWER = 400
_MAX_REASONING = 800
_LETTERED = re.compile(r"^\(?[A-D][.):]\s*")


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer; `options` in the order A to D for a choice, else empty."""

    question: str
    answer: str
    options: tuple[str, ...] = ()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Pair(_Strict):
    question: _Text
    answer: _Text


class _Options(_Strict):
    A: _Text
    B: _Text
    C: _Text
    D: _Text


class _Choice(_Strict):
    question: _Text
    options: _Options
    answer: Letter


class _Pairs(_Strict):
    pairs: list[_Pair]


class _Choices(_Strict):
    pairs: list[_Choice]


def json_schema(task: TaskName, pairs: PairRange) -> str:
    """The JSON schema of an answer, as a string.

    Strings have upper bounds: a guided model that may write on without end is cut off, and the answer lost.
    """
    question = _string("question", _MAX_QUESTION)
    if task == "multiple_choice":
        options = _object({letter: _string("option", _MAX_OPTION) for letter in LETTERS})
        pair = _object({"question": question, "options": options, "answer": {"type": "string", "enum": list(LETTERS)}})
    else:
        answer = _string("answer", _max_answer(task))
        pair = _object({"question": question, "answer": answer})
    array = {"type": "array", "items": pair, "minItems": pairs.min, "maxItems": pairs.max}
    return json.dumps(_object({"pairs": array}))


def is_cut(task: TaskName, turn: Turn) -> bool:
    """Whether a text of the turn fills the room that the schema gives it: a guided model was stopped there."""
    return (
        len(turn.question) >= _MAX_QUESTION
        or len(turn.answer) >= _max_answer(task)
        or any(len(option) >= _MAX_OPTION for option in turn.options)
    )


def _max_answer(task: TaskName) -> int:
    return _MAX_REASONING if task == "complex_reasoning" else _MAX_ANSWER


def parse(task: TaskName, text: str, caption_id: str) -> tuple[Turn, ...] | Rejected:
    """The turns of an answer, or why it holds none. Never raises, whatever the text.

    Choices are re-lettered by a hash of the caption's id: models favour a letter, and a set in which B is usually
    right teaches that. Letters that the model writes before all of its options are taken away.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Rejected("not_json", str(error)[:200])
    try:
        if task == "multiple_choice":
            choices = _Choices.model_validate(raw).pairs
            return tuple(_relettered(choice, caption_id, index) for index, choice in enumerate(choices))
        return tuple(Turn(pair.question, pair.answer) for pair in _Pairs.model_validate(raw).pairs)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(map(str, detail["loc"])).encode(errors="replace").decode()
        return Rejected("wrong_shape", f"{place}: {detail['msg']}"[:200])


def conversation(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as a trainer reads them: human and gpt alternating, `<image>` once, in the first human turn."""
    messages = []
    for index, turn in enumerate(turns):
        options = "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, turn.options, strict=False))
        image = "<image>\n" if index == 0 else ""
        messages += [
            {"from": "human", "value": f"{image}{turn.question}{options}"},
            {"from": "gpt", "value": turn.answer},
        ]
    return messages


def _relettered(choice: _Choice, caption_id: str, index: int) -> Turn:
    options = {letter: getattr(choice.options, letter) for letter in LETTERS}
    if all(_LETTERED.match(option) and option.lstrip("(")[0] == letter for letter, option in options.items()):
        options = {letter: _LETTERED.sub("", option) for letter, option in options.items()}
    right = options[choice.answer]
    wrong = [option for letter, option in options.items() if letter != choice.answer]
    number = stable_int("letter", caption_id, str(index))
    Random(number).shuffle(wrong)
    place = number % len(LETTERS)
    return Turn(choice.question, LETTERS[place], (*wrong[:place], right, *wrong[place:]))


def _object(properties: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _string(title: str, max_length: int) -> dict[str, object]:
    return {"type": "string", "title": title, "minLength": 1, "maxLength": max_length}
