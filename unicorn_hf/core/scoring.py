"""Scores: a language model reads a text and says how good it is, from 1 to 5. Rows below a bound are rejected."""

import json
import re
from dataclasses import dataclass

from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.recipe import Sampling

SCORES = (1, 2, 3, 4, 5)
_SAMPLING = Sampling(temperature=0, max_tokens=32)
_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"score": {"type": "integer", "enum": SCORES}},
        "required": ["score"],
        "additionalProperties": False,
    }
)
_NAMED = re.compile(r"\b(?:score|rating)\b\W{0,12}(?:is\W{1,3})?(\d+)(?![\d.,]*\d)", re.IGNORECASE)
_BARE = re.compile(r"\W{0,8}(\d+)(?:\s?(?:/|out of|of)\s?5)?\b(?!\.\d)")


@dataclass(frozen=True)
class Scorer:
    """Asks for scores with one prompt. What it asks does not depend on the bound."""

    prompt: Prompt
    min_score: int
    random_seed: int = 0

    def request(self, row_id: str, subject: str) -> Request:
        """The request for a score of `subject`, a text of the row with this id."""
        return Request(
            id=row_id,
            subject=subject,
            messages=self.prompt.messages(subject),
            sampling=_SAMPLING,
            seed=stable_int(str(self.random_seed), "score", row_id, bits=31),
            json_schema=_SCHEMA,
        )

    def check(self, answer: Answer) -> Rejected | None:
        """Why a row with this answer is not kept; None if it is."""
        if nothing := unanswered(answer):
            return nothing
        score = parse_score(answer.text)
        if score is None:
            return Rejected("no_score", answer.text[:200] or answer.finish_reason)
        return Rejected("low_score", f"{score}, {self.min_score} is wanted") if score < self.min_score else None


def parse_score(text: str) -> int | None:
    """The score that an answer gives: `{"score":4}`, `Score: 4`, or a number first. None if it gives none from 1 to 5.

    Never raises, whatever the text.
    """
    match = _NAMED.search(text) or _BARE.match(text)
    if match is None or len(match[1]) > 1:
        return None
    score = int(match[1])
    return score if score in SCORES else None
