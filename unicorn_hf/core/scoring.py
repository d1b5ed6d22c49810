"""Scores: a language model scores texts from 1 to 5. Rows below a bound are rejected."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from unicorn_hf.core.generation import Answer, Request, json_object
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.languages import ENGLISH
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.prompts import READ_IN, Prompt, load_prompt
from unicorn_hf.core.recipe import Sampling, Scoring

_Made = TypeVar("_Made")
SCORES = (1, 2, 3, 4, 5)
_SAMPLING = Sampling(temperature=0, max_tokens=32)
_SCHEMA = json.dumps(json_object({"score": {"type": "integer", "enum": SCORES}}))
_NAMED = re.compile(r"\b(?:score|rating)\b\W{0,12}(?:is\W{1,3})?(\d+)(?![\d.,]*\d)", re.IGNORECASE)
_BARE = re.compile(r"\W{0,8}(\d+)(?:\s?(?:/|out of|of)\s?5)?\b(?!\.\d)")


@dataclass(frozen=True)
class Scorer:
    """Requests scores with one prompt. The requests do not depend on the bound."""

    prompt: Prompt
    min_score: int
    random_seed: int = 0
    reason: str = "low_score"
    """The rejection reason for lower scores."""

    def request(self, row_id: str, subject: str, language: str = ENGLISH) -> Request:
        """The request for a score of `subject`, the text of the row `row_id` in `language`."""
        return Request(
            id=row_id,
            subject=subject,
            messages=self.prompt.messages(subject, language=language, asked=READ_IN),
            sampling=_SAMPLING,
            seed=stable_int(str(self.random_seed), "score", row_id, bits=31),
            json_schema=_SCHEMA,
        )

    def sift(
        self,
        made: Sequence[_Made | Rejected],
        described: Callable[[int, _Made], tuple[str, str, str]],
        ask: Callable[[Sequence[Request]], Sequence[Answer]],
    ) -> list[_Made | Rejected]:
        """Score the rows in `made` that are not rejected yet, and replace those with a low score by rejections.

        `described` returns id, text and language of a row at a position in `made`; `ask` answers requests, in order.
        """
        requests = {
            place: self.request(*described(place, found))
            for place, found in enumerate(made)
            if not isinstance(found, Rejected)
        }
        answers = dict(zip(requests, ask(list(requests.values())), strict=True))
        return [
            (self.check(answers[place]) or found) if place in answers else found for place, found in enumerate(made)
        ]

    def check(self, answer: Answer) -> Rejected | None:
        """Why a row with this score is rejected; None if it is kept."""
        if nothing := unanswered(answer):
            return nothing
        score = parse_score(answer.text)
        if score is None:
            return Rejected("no_score", answer.text[:200] or answer.finish_reason)
        return Rejected(self.reason, f"{score}, below {self.min_score}") if score < self.min_score else None


def load_scorer(config: Scoring | None, prompts: Path, random_seed: int, reason: str = "low_score") -> Scorer | None:
    """The recipe's scorer; `prompts` is the stage's folder of bundled prompts.

    Raises:
        InputError: there is no such prompt, or it is invalid.
    """
    if config is None:
        return None
    return Scorer(load_prompt(config.prompt, prompts), config.min_score, random_seed, reason)


def parse_score(text: str) -> int | None:
    """The score from 1 to 5 in an answer: `{"score":4}`, `Score: 4`, or a number first; else None. Never raises."""
    match = _NAMED.search(text) or _BARE.match(text)
    score = int(match[1]) if match and len(match[1]) == 1 else None
    return score if score in SCORES else None
