"""Filters of what a chat model writes besides a caption: refusals, chatter, talk about the caption, markup."""

import re

from unicorn_hf.captions.filters.base import CaptionFilter, Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, base, found_in
from unicorn_hf.core.talk import refusal
from unicorn_hf.core.thoughts import leftover

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
_MAY_BE_MARKUP = re.compile(r"\s*[-*•#>\d]|.*?[\n*_`<|\]\\]")
_MARKUP = re.compile(
    r"(?:^|\n)\s*(?:[-*•#>]|#{2,6}|\d+[.)])\s|\*\*|__|```|</?[a-z][^<>]*>|\]\(|(?:^|\n)\s*\||\\n|\n\s*\n", re.IGNORECASE
)

# A caption describes a scene, never itself or a picture of the scene. But a scene can contain pictures: the patterns
# below distinguish them.
_PICTURE = r"(?:image|picture|photo(?:graph)?|snapshot)"
# Words that cannot be between an article and its noun, so that `a woman takes a photo` does not begin with a photo.
_ADJECTIVES = (
    r"(?:(?!(?:an?|the|this|that|his|her|its|their|of|in|on|at|by|to|for|from|with|as|is|are|was|has|holds?|framed)\b)"
    r"[\w'’-]+,? ){0,4}?"
)
_THING = (
    r"(?!-|\s(?:frame|book|window|album|booth|wire|rail|hook|light|shoot|card|postcard|gallery|studio|editor|credit)s?\b"
    r"|\s(?:hang|lie|lean|rest|sit|stand)(?:s|ing)?\b|\sis (?:framed|hung|pinned|taped|propped|stuck|printed|painted)\b"
    r"|\s(?:on|above|over|beside|behind|near|against) (?:the|an?|his|her|its|their) (?:\w+ )?"
    r"(?:wall|shel(?:f|ves)|desk|table|mantel(?:piece)?|fridge|refrigerator|door|cover|page|screen|easel|nightstand)\b"
    r"|\sin (?:the|an?|his|her|its|their) (?:\w+ )?(?:hands?|frame|locket|newspaper|book|album|wallet|lap)\b)"
)
_OPENING = re.compile(rf"\W*(?:in )?(?:an?|the|this|our) {_ADJECTIVES}{_PICTURE}\b{_THING}", re.IGNORECASE)
_LABEL = re.compile(
    r"\W*(?:caption|description|paragraph|scene|title|answer|response|output|image|picture|photo)"
    r"(?: seed| description| caption)?\s*:",
    re.IGNORECASE,
)
_CAPTION_TALK = Finder(
    re.compile(
        rf"\b(?:this|that|your|our) (?:\w+ )?(?:{_PICTURE}|caption|prompt|description|paragraph|caption seed)\b{_THING}"
        rf"|\b(?:this|it|here) is an? {_ADJECTIVES}(?:{_PICTURE}|caption|description)\b"
        r"|\b(?:the|this) scene (?:(?:is|being) )?(?:depict|describ|portray|captur|begin|end|involv)\w*\b"
        r"|\bin this scene\b"
        r"|\bcaption seed\b|\bthe seed (?:describes|mentions|says|states|suggests|shows|phrase|text)\b"
        r"|\b(?:the|a) (?:caption|prompt|scene description)\b"
        r"(?! (?:below|beneath|under|above|on|across|in|printed|written|reads|reading))"
        r"|\bthe (?:description|paragraph)\b(?! (?:of|on|below|beneath|printed|written|plaque|panel|board|card))"
    ),
    hints=("image", "picture", "photo", "snapshot", "caption", "prompt", "description", "paragraph", "scene", "seed"),
)
"""The hints also cover the two expressions about pictures."""
_THE_PICTURE = re.compile(
    rf"\b(?:the|that) (?:(?:entire|whole|overall|provided|given|final|resulting|generated|described) )?{_PICTURE}s?\b"
    rf"(?! of\b){_THING}",
    re.IGNORECASE,
)
_A_PICTURE = re.compile(
    rf"\b(?:an?|one|another|each|two|three|four|five|several|some|many|few|his|her|its|their|framed|old|of) "
    rf"{_ADJECTIVES}{_PICTURE}s?\b",
    re.IGNORECASE,
)
_OF_THE_CAMERA = re.compile(
    r"\b(?:for|tak(?:es?|ing)|took|snap(?:s|ping)?|shoot(?:s|ing)?|(?:develop|paint|draw)(?:s|ing)?) $", re.IGNORECASE
)


@CAPTION_FILTERS.register("refusal")
class Refusal(CaptionFilter):
    """A caption must not refuse or address the user."""

    forbid_refusals: bool = True

    def check(self, draft: Draft) -> str | None:
        if not self.forbid_refusals:
            return None
        if found := refusal(draft.caption, draft.language):
            return found
        greeting = _GREETING.match(draft.unquoted) if base(draft.language) == ENGLISH else None
        return greeting.group().strip() if greeting else found_in(draft.language, "chatter", draft.unquoted, _CHATTER)


@CAPTION_FILTERS.register("caption_talk")
class CaptionTalk(CaptionFilter):
    """A caption must describe a scene, not itself or a picture of the scene."""

    forbid_caption_talk: bool = True

    def check(self, draft: Draft) -> str | None:
        return _talk(draft.unquoted, draft.language) if self.forbid_caption_talk else None


def _talk(text: str, language: str) -> str | None:
    if base(language) != ENGLISH:
        return found_in(language, "caption_talk", text)
    if label := _LABEL.match(text):
        return label.group().strip()
    if not _CAPTION_TALK.hinted(text):
        return None
    if opening := _OPENING.match(text):
        return opening.group().strip()
    if found := _CAPTION_TALK.search(text):
        return found
    # `The picture` is in the scene if the caption mentioned one before, or if someone is taking it.
    named = _A_PICTURE.search(text)
    for match in _THE_PICTURE.finditer(text, 0, named.start() if named else len(text)):
        if not _OF_THE_CAMERA.search(text, 0, match.start()):
            return match.group()
    return None


@CAPTION_FILTERS.register("markup")
class Markup(CaptionFilter):
    """A caption must be a paragraph of plain text."""

    forbid_markup: bool = True

    def check(self, draft: Draft) -> str | None:
        # Check the original answer, because the caption is one line.
        text = draft.answer.text.strip()
        if (found := leftover(text)) or not self.forbid_markup:
            return found
        match = _MARKUP.search(text) if _MAY_BE_MARKUP.match(text) else None
        return match.group().strip() or "an empty line" if match else None
