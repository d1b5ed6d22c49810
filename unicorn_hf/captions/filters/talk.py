"""Words that a model says to the one who asked, or about the picture and the caption, instead of the scene."""

import re

from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, base, found_in

# Friendly words around the caption, from a model that chats.
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

# A caption describes a scene, never itself or the picture that it could be of. But a scene may hold pictures: what
# follows tells the one from the other.
_PICTURE = r"(?:image|picture|photo(?:graph)?|snapshot)"
# Between an article and its noun stand no words like these, so that `a woman takes a photo` does not open with a photo.
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
"""Its hints are those of the two expressions about pictures too."""
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
_MAY_BE_MARKUP = re.compile(r"\s*[-*•#>\d]|.*?[\n*_`<|\]\\]")
_MARKUP = re.compile(
    r"(?:^|\n)\s*(?:[-*•#>]|#{2,6}|\d+[.)])\s|\*\*|__|```|</?[a-z][^<>]*>|\]\(|(?:^|\n)\s*\||\\n|\n\s*\n", re.IGNORECASE
)


def chatter(text: str, language: str = ENGLISH) -> str | None:
    """Friendly words to the one who asked."""
    greeting = _GREETING.match(text) if base(language) == ENGLISH else None
    return greeting.group().strip() if greeting else found_in(language, "chatter", text, _CHATTER)


def caption_talk(text: str, language: str = ENGLISH) -> str | None:
    """Talk of the caption, of the prompt, or of the picture that the scene could be of."""
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
    # `The picture` is a picture in the scene if the caption has named one before, or if someone is just taking it.
    named = _A_PICTURE.search(text)
    for match in _THE_PICTURE.finditer(text, 0, named.start() if named else len(text)):
        if not _OF_THE_CAMERA.search(text, 0, match.start()):
            return match.group()
    return None


def markup(text: str) -> str | None:
    """Lists, headings, emphasis, HTML, links, empty lines."""
    match = _MARKUP.search(text) if _MAY_BE_MARKUP.match(text) else None
    return match.group().strip() or "an empty line" if match else None
