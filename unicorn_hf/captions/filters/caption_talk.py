"""Rejects captions that mention the caption, the prompt, or a picture of the scene."""

import re

from unicorn_hf.captions.filters.base import CaptionFilter
from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, base, found_in

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
