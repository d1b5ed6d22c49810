"""Formats of a model's pairs: JSON, guided by a grammar if the engine has one, or tagged lines."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from unicorn_hf.core import tagged
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.task import FormatName

Fields = Mapping[str, object]
"""A pair's fields by name: texts, and lists of texts."""

_JSON_START = re.compile(r"[{\[]")


class AnswerFormat(ABC):
    """A format of pairs. `instruction` replaces a prompt's `{format}`, and `write` formats its examples."""

    guided: ClassVar[bool]
    """Whether to constrain the engine to this format."""
    asked: ClassVar[str]
    """The instruction to a model; an example pair follows."""

    def instruction(self, fields: Fields) -> str:
        """The instruction to a model to write pairs of these fields."""
        return self.asked + self.write([fields])

    @abstractmethod
    def write(self, pairs: Sequence[Fields]) -> str:
        """Pairs in this format."""

    @abstractmethod
    def read(self, answer: Answer, fields: Fields) -> list[object] | Rejected:
        """The unchecked pairs of an answer, or why there are none. Never raises."""


class JsonFormat(AnswerFormat):
    """One object, `{"pairs": [...]}`. Also accepts text around it, such as a code fence, and a bare list."""

    guided = True
    asked = "Answer with one JSON object: "

    def write(self, pairs: Sequence[Fields]) -> str:
        return json.dumps({"pairs": pairs}, ensure_ascii=False, separators=(",", ":"))

    def read(self, answer: Answer, fields: Fields) -> list[object] | Rejected:
        if answer.finish_reason == "length":
            return Rejected("unfinished", "cut at max_tokens")
        start = _JSON_START.search(answer.text)
        try:
            found, _ = json.JSONDecoder().raw_decode(answer.text, start.start() if start else 0)
        except (ValueError, RecursionError) as error:
            return Rejected("not_json", str(error)[:200])
        pairs = found.get("pairs") if isinstance(found, dict) else found
        return pairs if isinstance(pairs, list) else Rejected("wrong_shape", "no list of pairs")


class TaggedFormat(AnswerFormat):
    """A tagged line for each field; see `unicorn_hf.core.tagged`. No grammar slows the engine down."""

    guided = False
    asked = "Write nothing else than lines of this form, with an empty line between two pairs:\n"

    def write(self, pairs: Sequence[Fields]) -> str:
        return tagged.write(pairs)

    def read(self, answer: Answer, fields: Fields) -> list[object] | Rejected:
        pairs = tagged.read(answer.text, list(fields), cut=answer.finish_reason == "length")
        if isinstance(pairs, Rejected):
            return pairs
        lists = {name for name, value in fields.items() if isinstance(value, list)}
        if any(len(texts) > 1 for pair in pairs for name, texts in pair.items() if name not in lists):
            return Rejected("wrong_shape", f"duplicate {list(fields)[-1]} in a pair")
        return [{name: texts if name in lists else texts[0] for name, texts in pair.items()} for pair in pairs]


FORMATS: Mapping[FormatName, AnswerFormat] = {"json": JsonFormat(), "tagged": TaggedFormat()}
