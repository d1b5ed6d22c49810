"""Filters of all texts of a conversation. The trained model sees an image, never a caption."""

import re
from functools import partial

from unicorn_hf.core.content import is_plainly_english
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.language import foreign
from unicorn_hf.core.languages import ENGLISH
from unicorn_hf.core.talk import refusal, unquoted
from unicorn_hf.core.thoughts import leftover
from unicorn_hf.core.visible import CONTROL
from unicorn_hf.core.word_lists import unsafe
from unicorn_hf.core.words import words
from unicorn_hf.instructions.filters.base import (
    MAX_OPTION,
    MAX_QUESTION,
    Scene,
    conversation_filter,
    first_found,
    found_of,
)
from unicorn_hf.instructions.turns import Turn

# A viewer of a picture has no text about it. But pictures contain texts, menus with descriptions and passages between
# houses: the words that follow distinguish them.
_WRITTEN = (
    r"(?! (?:on|across|along|around|above|below|beneath|under|inside|beside|behind|next|between|through|into|to|leading"
    r"|that leads|written|printed|painted|engraved|carved|stitched|reads|reading|plaque|panel|board|card|desk|booth"
    r"|sign|kiosk|cent(?:er|re)|point|stand|box|bubble)\b"
    r"|(?: of time\b| (?:of|in|for) (?:the|an?|each|every|this|that|its) (?:\w+ )?(?:sign|poster|banner|label|book"
    r"|page|menu|dish|logo|newspaper|magazine|billboard|screen|bubble|window|corner|plaque|exhibit|product)s?\b))"
)
_ADVERBS = r"(?:(?:not|also|only|clearly|explicitly|specifically|further) )*"
_CAPTION_TALK = Finder(
    re.compile(
        r"\b(?:the|this|that|your|given|above|provided) (?:(?:given|above|provided|original|short|scene|image) )?"
        rf"(?:captions?|descriptions?|passages?|paragraphs?|prompts?|text|sentences?|information)\b{_WRITTEN}"
        r"|\b(?:the|given|above|provided) context\b(?! of\b)"
        r"|\b(?:in|into|of|from|to|throughout) (?:the|this|your) (?:\w+ )??(?<!second )(?<!first )(?<!upper )"
        r"(?<!lower )(?:story|narrative|excerpt|tale)\b|\bthe (?:writer|author|narrator)\b"
        r"|\b(?:according to|based on|as per|judging (?:by|from)) (?:an?|the|this|that|your|what)(?: [\w-]+)? "
        r"(?:caption|description|passage|paragraph|prompt|sentence|context|story|article)s?\b"
        r"|\bmentioned\b|\b(?:doesn['’]t|don['’]t|(?:does|do|did) not|never) (?:mention|specify)\b"
        r"|\bno (?:mention|information|details?) (?:of|about|is|are|was)\b"
        rf"|\b(?:is|are|was|were|as) {_ADVERBS}(?:described|stated|specified)\b"
        r"|\b(?:is|are|was|were) (?:the|an?|his|her|its|their) (?:[\w'’-]+ ){1,4}?(?<!best )(?:described|stated)\b"
        r"|\b(?:described|stated|given|provided) (?:above|here)\b|\bthe described\b"
    ),
    hints=tuple(
        """
    caption description passage paragraph prompt text sentence information story narrative excerpt tale writer author
    narrator article mention specif detail described stated given provided
    """.split()
    ),
)
_MARKUP = Finder(re.compile(rf"```|\*\*|__[^\W_]|</?[a-z][^<>]*>|\]\(|\\n|[{{}}{CONTROL}]"))
_GARBLED = Finder(re.compile(r"\w[:：]$|(\w)\1{4}|\d{7}|['\"],\s?['\"]|[,;]{2}", re.MULTILINE), cased=True)
# The speakers look at a scene: neither is in it, and neither is an assistant.
_PERSONAL = Finder(
    re.compile(
        r"\b(?-i:(?<!War )(?<!Part )(?<!letter )I)(?:['’](?:m|d|ll|ve))?\b(?!\.\w)|\b(?:my|me|myself)\b"
        r"|\byour(?:s|self)?\b(?! (?:eye|attention|gaze|view|line of sight)s?\b)"
        r"|\b(?:have|had|are|were|did|do) you\b"
        r"(?! (?:see|notice|think|find|expect|need|observe|spot|know|believe|say|get)\b)"
        r"|\byou(?:['’](?:re|ve|d)| are| have| had| were| did| said)\b",
        re.IGNORECASE,
    ),
    cased=True,
)


@conversation_filter
def _empty_text(turn: Turn, scene: Scene) -> str | None:
    """Every text must have words."""
    return None if all(words(text) for text in turn.texts) else f"in {turn.question[:80]!r}"


@conversation_filter
def _unsafe(turn: Turn, scene: Scene) -> str | None:
    """No text may contain a word from the list of unsafe content."""
    return first_found(partial(unsafe, language=scene.language), turn.texts)


@conversation_filter
def _caption_talk(turn: Turn, scene: Scene) -> str | None:
    """No text may mention a caption, a description or a story."""
    return found_of("text_talk", turn, scene, _CAPTION_TALK)


@conversation_filter
def _refusal(turn: Turn, scene: Scene) -> str | None:
    """No text may refuse."""
    return first_found(partial(refusal, language=scene.language), turn.texts)


@conversation_filter
def _markup(turn: Turn, scene: Scene) -> str | None:
    """No text may contain markup, braces, tags, or remains of reasoning or a chat template."""
    return next(filter(None, map(leftover, turn.texts)), None) or first_found(_MARKUP.search, turn.texts)


@conversation_filter
def _garbled(turn: Turn, scene: Scene) -> str | None:
    """No text may contain runs of letters or digits, or meaningless punctuation."""
    # A question may end with a colon before its options.
    texts = (turn.question.rstrip(":"), turn.answer, *turn.options)
    return first_found(_GARBLED.search, texts)


@conversation_filter
def _personal(turn: Turn, scene: Scene) -> str | None:
    """No speaker may be in the scene, or be an assistant."""
    return found_of("personal", turn, scene, _PERSONAL)


@conversation_filter
def _language(turn: Turn, scene: Scene) -> str | None:
    """A question and its answer must be in one of the recipe's languages."""
    # Check all texts together, without the letter of a choice: a few words can look like any language.
    texts = (turn.question, *(turn.options or (turn.answer,)))
    joined = " ".join(texts)
    text = unquoted(joined)
    # English about a caption in another script may quote that script.
    if ENGLISH in scene.languages and is_plainly_english(*(texts if text == joined else (text,))):
        return None
    return foreign(text, scene.languages)


@conversation_filter
def _cut_text(turn: Turn, scene: Scene) -> str | None:
    """No text may reach the schema's maximum length, at which a guided model is cut off."""
    room = {turn.question: MAX_QUESTION, turn.answer: scene.max_answer} | dict.fromkeys(turn.options, MAX_OPTION)
    return next((text[-80:] for text, most in room.items() if len(text) >= most), None)
