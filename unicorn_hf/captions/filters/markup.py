"""Rejects lists, headings and other markup, and remains of a model's template."""

import re

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.thoughts import leftover

_MAY_BE_MARKUP = re.compile(r"\s*[-*•#>\d]|.*?[\n*_`<|\]\\]")
_MARKUP = re.compile(
    r"(?:^|\n)\s*(?:[-*•#>]|#{2,6}|\d+[.)])\s|\*\*|__|```|</?[a-z][^<>]*>|\]\(|(?:^|\n)\s*\||\\n|\n\s*\n", re.IGNORECASE
)


@CAPTION_FILTERS.register("markup")
class Markup(CaptionFilter):
    """A caption must be a paragraph of plain text."""

    forbid_markup: bool = True

    def check(self, draft: Draft) -> str | None:
        # Check the original answer, because the caption is one line.
        text = draft.answer.text.strip()
        return leftover(text) or (_markup(text) if self.forbid_markup else None)


def _markup(text: str) -> str | None:
    """The first list item, heading, emphasis, HTML, link or empty line."""
    match = _MARKUP.search(text) if _MAY_BE_MARKUP.match(text) else None
    return match.group().strip() or "an empty line" if match else None
