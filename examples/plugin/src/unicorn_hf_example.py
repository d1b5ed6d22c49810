"""One choice of each kind for unicorn-hf. Keep the one that you need, and change it."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import ascii_lowercase
from typing import Any, ClassVar, Literal, Self

import numpy as np

import unicorn_hf.extend as hf


class Objects(hf.SeedSource):
    """Made-up things in some colours."""

    taken_keys = ("things",)
    kind: Literal["unicorn-hf-example:objects"]
    things: hf.Strings

    def read(self, random_seed: int, notes: hf.ReadingNotes) -> Iterator[str]:
        seeds = (f"a {colour} {thing} on a table" for thing in self.things for colour in ("red", "blue", "green"))
        return islice(seeds, self.limit)


class Dummy(hf.AnyEngine):
    """The same sentence about every subject, without a model."""

    kind: Literal["unicorn-hf-example:dummy"]
    rehearses = deterministic = True

    def open(self, model: str) -> "DummyGenerator":
        return DummyGenerator()


class DummyGenerator:
    deterministic = True

    def generate(self, requests: Sequence[hf.Request]) -> Iterator[tuple[int, hf.Answer]]:
        for position, request in enumerate(requests):
            text = f"There is {request.subject}, and soft light from a window falls on it."
            if request.json_schema:
                text = json.dumps({"pairs": [{"question": "What is on the table?", "answer": request.subject}]})
            yield position, hf.Answer(text, "stop", num_prompt_tokens=0, num_output_tokens=len(text.split()))

    def close(self) -> None: ...


class Commas(hf.CaptionFilter):
    """A caption is not a list: it has few commas."""

    max_commas: int = 6

    def check(self, draft: hf.Draft) -> str | None:
        number = draft.caption.count(",")
        return f"{number} commas" if number > self.max_commas else None


class Colours(hf.QuestionFamily):
    """Questions about colours, answered in a sentence."""

    weight: hf.Weight = 1.0
    pairs: hf.PairRange = hf.PairRange(min=1, max=2)
    prompt: hf.PromptChoice = hf.Prompt(
        version="colours-v1", system="Ask about colours in the scene. Write {pairs} pairs. {format}", user="{subject}"
    )
    max_answer: ClassVar[int] = 200
    checks: ClassVar[tuple[str, ...]] = ("empty_text", "unsafe", "not_a_question")


class Why(hf.ConversationFilter):
    """No question asks for reasons: a caption does not contain them."""

    def check(self, turn: hf.Turn, scene: hf.Scene) -> str | None:
        return turn.question if turn.question.lower().startswith("why") else None


@dataclass(frozen=True, slots=True)
class Letters(hf.AnyEncoder):
    """The counts of each letter in a text, as a vector."""

    forms: ClassVar = {"": "counts of letters, no model"}
    uses_gpu = has_image_side = cuts_texts = False

    @classmethod
    def parse(cls, rest: str) -> Self:
        return cls()

    def identity(self) -> str:
        return "letters"

    def open(self, batch_size: int, long_captions: str) -> "LetterCounts":
        return LetterCounts()


class LetterCounts:
    dim = len(ascii_lowercase)

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> hf.Encoded:
        counts = np.array([[1 + text.count(letter) for letter in ascii_lowercase] for text in texts], np.float32)
        on_texts(len(texts))
        return hf.Encoded(counts / np.linalg.norm(counts, axis=1, keepdims=True), num_long=0)

    def close(self) -> None: ...


@dataclass(frozen=True)
class HalfShift(hf.Transfer):
    """Subtract half of the mean."""

    half: Any
    formula = "v = u - mean(u) / 2"
    unit_norm = False

    @classmethod
    def fit(cls, statistics: hf.TransferStatistics) -> Self:
        return cls((statistics.text.mean / 2).astype(np.float32))

    def mover(self, ids: Sequence[str] | None) -> Callable[[Any, int], Any]:
        return lambda block, first: np.subtract(block, self.half, out=block)


class Lines(hf.ExportFormat):
    """Only captions, one per line."""

    def write(self, data: hf.BuiltSet, out: Path) -> None:
        captions = (row["caption"] for row in data.rows("pretrain", ["caption"]))
        (out / "captions.txt").write_text("".join(f"{caption}\n" for caption in captions), encoding="utf-8")
