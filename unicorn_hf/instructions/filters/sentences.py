"""Filters of questions, and of answers in sentences."""

import re

from pydantic import PositiveInt

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.content import content_words
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import found_in
from unicorn_hf.core.section import Fraction
from unicorn_hf.core.sentences import ends_with_question_mark, has_question_mark, is_finished
from unicorn_hf.core.talk import unquoted
from unicorn_hf.core.words import count, num_words, repeated_fraction, words
from unicorn_hf.instructions.filters.base import A_SENTENCE, ConversationFilter, Scene, conversation_filter
from unicorn_hf.instructions.turns import Turn

_REQUESTS = Finder(
    re.compile(
        r"^(?:please )?(?:describe|name|explain|list|identify|tell|give|compare|count|choose|pick|select|complete"
        r"|estimate|suggest|imagine|predict|state|point out|infer|summari[sz]e|discuss)\b"
    )
)
_TO_COMPLETE = re.compile(r"_{2,}|[:：]$")
_NOT_KNOWN = Finder(
    re.compile(
        r"\b(?:is|are|was|were|remains?|it['’]s) "
        r"(?:not (?:known|clear|certain|sure|visible|shown|possible to)|un(?:known|clear|certain)|impossible to)\b"
        r"|\bnot enough to (?:say|tell|know)\b|\bthere is no (?:answer|way to)\b"
        r"|\b(?:cannot|can['’]t|could not) be (?:determined|known|said|told|seen)\b"
    ),
    hints=("not", "unknown", "unclear", "uncertain", "impossible", "no answer", "no way", "can't", "can’t"),
)
_YES_NO = Finder(re.compile(r"(?:yes|no)\b"))
_FEW_WORDS = 6
"""An answer of up to this many words need not be a sentence."""


@conversation_filter
def _not_a_question(turn: Turn, scene: Scene) -> str | None:
    """A question must ask for something."""
    asks = (
        ends_with_question_mark(turn.question)
        or _TO_COMPLETE.search(turn.question)
        or found_in(scene.language, "asks", turn.question, _REQUESTS)
    )
    return None if asks else turn.question[-80:]


@conversation_filter
def _not_known(turn: Turn, scene: Scene) -> str | None:
    """An answer must not say that it is unknown."""
    return found_in(scene.language, "not_known", turn.right_answer, _NOT_KNOWN)


@conversation_filter
def _echoed_question(turn: Turn, scene: Scene) -> str | None:
    """An answer must add to the question's words; `Yes, it does` adds something."""
    said = set(content_words(turn.answer, scene.language))
    adds_nothing = count(said) >= A_SENTENCE and said <= set(content_words(turn.question, scene.language))
    if adds_nothing:
        adds_nothing = not found_in(scene.language, "yes_no", " ".join(words(turn.answer)[:1]), _YES_NO)
    return turn.answer if adds_nothing or words(turn.answer) == words(turn.question) else None


@CONVERSATION_FILTERS.register("repetition")
class Repetition(ConversationFilter):
    """An answer must not repeat itself."""

    max_repeated_fraction: Fraction = 0.25
    """Maximum share of an answer's 4-word runs that repeat an earlier one; loops far exceed it."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return turn.answer[-80:] if repeated_fraction(turn.answer) > self.max_repeated_fraction else None


@conversation_filter
def _asks_back(turn: Turn, scene: Scene) -> str | None:
    """An answer must not contain a question."""
    return turn.answer[-80:] if has_question_mark(unquoted(turn.answer)) else None


@conversation_filter
def _unfinished_answer(turn: Turn, scene: Scene) -> str | None:
    """An answer must end with a complete sentence."""
    long = num_words(turn.answer) > _FEW_WORDS
    return turn.answer[-80:] if long and not is_finished(turn.answer) else None


@CONVERSATION_FILTERS.register("no_reasoning")
class NoReasoning(ConversationFilter):
    """An answer must give its reasons."""

    min_reasoning_words: PositiveInt = 12
    """Minimum number of words of a complex reasoning answer."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return turn.answer if num_words(turn.answer) < self.min_reasoning_words else None
