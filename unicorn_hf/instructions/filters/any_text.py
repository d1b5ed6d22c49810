"""What no text of a conversation may be. The model that is trained on it sees an image, never a caption."""

import re
from functools import partial

from unicorn_hf.core.characters import CONTROL
from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.content import is_plainly_english
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.language import foreign
from unicorn_hf.core.languages import ENGLISH
from unicorn_hf.core.talk import refusal, unquoted
from unicorn_hf.core.thoughts import leftover
from unicorn_hf.core.word_lists import unsafe
from unicorn_hf.core.words import words
from unicorn_hf.instructions.filters.base import (
    MAX_OPTION,
    MAX_QUESTION,
    ConversationFilter,
    Scene,
    first_found,
    found_of,
)
from unicorn_hf.instructions.turns import Turn

# Nobody who looks at a picture has been told about it. But pictures hold texts, menus with descriptions and passages
# between houses: what follows a word tells the one from the other.
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
# The two who talk look at a scene: neither is in it, and neither is a program that helps.
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


@CONVERSATION_FILTERS.register("empty_text")
class EmptyText(ConversationFilter):
    """Every text has words."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return None if all(words(text) for text in turn.texts) else f"in {turn.question[:80]!r}"


@CONVERSATION_FILTERS.register("unsafe")
class Unsafe(ConversationFilter):
    """No text has a word of the list of unsafe content."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return first_found(partial(unsafe, language=scene.language), turn.texts, turn.whole)


@CONVERSATION_FILTERS.register("caption_talk")
class CaptionTalk(ConversationFilter):
    """No text speaks of a caption, a description or a story."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return found_of("text_talk", turn, scene, _CAPTION_TALK)


@CONVERSATION_FILTERS.register("refusal")
class Refusal(ConversationFilter):
    """No text refuses."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return first_found(partial(refusal, language=scene.language), turn.texts, turn.whole)


@CONVERSATION_FILTERS.register("markup")
class Markup(ConversationFilter):
    """No text has marks, braces, tags, or what reasoning or a chat template leaves."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return next(filter(None, map(leftover, turn.texts)), None) or first_found(
            _MARKUP.search, turn.texts, turn.whole
        )


@CONVERSATION_FILTERS.register("garbled")
class Garbled(ConversationFilter):
    """No text has letters or digits in a row, or marks without a sense."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        # A question may end with a colon: the options follow.
        texts = (turn.question.rstrip(":"), turn.answer, *turn.options)
        return first_found(_GARBLED.search, texts, "\n".join(texts))


@CONVERSATION_FILTERS.register("personal")
class Personal(ConversationFilter):
    """Neither of the two who talk is in the scene, and neither is a program that helps."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        return found_of("personal", turn, scene, _PERSONAL)


@CONVERSATION_FILTERS.register("language")
class Language(ConversationFilter):
    """A question and its answer are in one of the recipe's languages."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        # As a whole: a few words are taken for any language. The letter of a choice is not among them.
        texts = (turn.question, *(turn.options or (turn.answer,)))
        joined = " ".join(texts)
        text = unquoted(joined)
        # English about a caption that is in another script may name what that script writes. Other filters know the
        # words of each text.
        if ENGLISH in scene.languages and is_plainly_english(*(texts if text == joined else (text,))):
            return None
        return foreign(text, scene.languages)


@CONVERSATION_FILTERS.register("cut_text")
class CutText(ConversationFilter):
    """No text fills all the room that the schema gives it: a guided model was stopped there."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        room = {turn.question: MAX_QUESTION, turn.answer: scene.max_answer} | dict.fromkeys(turn.options, MAX_OPTION)
        return next((text[-80:] for text, most in room.items() if len(text) >= most), None)
