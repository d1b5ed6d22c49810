"""Filters of multiple-choice options."""

import re
from functools import partial

from unicorn_hf.core.content import content_words
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import found_in
from unicorn_hf.core.words import words
from unicorn_hf.instructions.filters.base import Scene, conversation_filter, first_found
from unicorn_hf.instructions.turns import Turn

_TWO_LETTERS = tuple(f"{letter} {word} " for letter in "abcd" for word in ("and", "or", "nor", "&"))
_OTHER_OPTIONS = Finder(
    re.compile(
        r"\b(?i:all|none|any|both|either|neither|two|some) (?i:of) (?i:the) (?i:above|options|choices|answers)\b"
        r"|\b(?i:options?|answers?|choices?) \(?[A-D]\b"
        r"|(?m:^)\W*(?:(?i:both|either|neither|only) )?[A-D] (?i:and|or|nor|&) [A-D]\b"
    ),
    hints=("above", "option", "choice", "answer", *_TWO_LETTERS),
    cased=True,
)
"""An option that refers to others loses its meaning when options are shuffled."""
_LISTED = re.compile(
    r"(?:^|\s)\(?A[.):] .*\s\(?B[.):] .*\s\(?C[.):] |(?:^|\W)A[．、）：].*\WB[．、）：].*\WC[．、）：]", re.DOTALL
)
"""A question that lists options with letters, which differ from the assigned ones."""


@conversation_filter
def _other_options(turn: Turn, scene: Scene) -> str | None:
    """An option must not refer to other options."""
    return first_found(partial(found_in, scene.language, "other_options", english=_OTHER_OPTIONS), turn.options)


@conversation_filter
def _listed_options(turn: Turn, scene: Scene) -> str | None:
    """A question must not list options itself."""
    return turn.question[:80] if _LISTED.search(turn.question) else None


@conversation_filter
def _equal_options(turn: Turn, scene: Scene) -> str | None:
    """All options must differ."""
    return turn.question[:80] if len({words(option) for option in turn.options}) < len(turn.options) else None


@conversation_filter
def _given_away(turn: Turn, scene: Scene) -> str | None:
    """A question must not name only the right option."""
    question = set(content_words(turn.question, scene.language))
    told = {option: set(content_words(option, scene.language)) for option in turn.options}
    named = [option for option, content in told.items() if content and content <= question]
    return turn.right_answer if named == [turn.right_answer] else None
