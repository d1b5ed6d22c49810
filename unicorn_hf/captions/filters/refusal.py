"""Rejects refusals and chatter."""

import re

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, base, found_in
from unicorn_hf.core.talk import refusal

# Friendly words around the caption, from a chat model.
_GREETING = re.compile(r"\W*(?:sure|certainly|of course|absolutely|okay|ok|alright|great)\s*[,!.:–—]", re.IGNORECASE)
_CHATTER = Finder(
    re.compile(
    r"\bhere(?:['’]s| is| are) (?:an?|the|your|one|my)(?: [\w-]+){0,4}? "
    r"(?:paragraph|caption|description|version|response|image|picture)s?\b"
    r"|\bi(?:['’]d| would| will|['’]ll)? be (?:happy|glad|delighted) to\b|\bi(?:['’]m| am) (?:happy|glad) to help\b"
    r"|\blet me know (?:if|whether|what|how)\b|\bhope (?:this|that|it) helps\b"
    r"|\b(?:please )?feel free to (?:ask|let|reach|adjust|modify|edit)\b"
    ),
    hints=(
        "paragraph", "caption", "description", "version", "response", "image", "picture", "happy to", "glad to",
        "delighted to", "let me know", " helps", "feel free",
    ),
)  # fmt: skip


@CAPTION_FILTERS.register("refusal")
class Refusal(CaptionFilter):
    """A caption must not refuse or address the user."""

    forbid_refusals: bool = True

    def check(self, draft: Draft) -> str | None:
        if not self.forbid_refusals:
            return None
        return refusal(draft.caption, draft.language) or _chatter(draft.unquoted, draft.language)


def _chatter(text: str, language: str) -> str | None:
    """The first friendly words to the user."""
    greeting = _GREETING.match(text) if base(language) == ENGLISH else None
    return greeting.group().strip() if greeting else found_in(language, "chatter", text, _CHATTER)
