"""What a conversation must be to be kept. The model that is trained on it sees an image, never a caption."""

import re
from collections.abc import Sequence

from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import PairRange, TaskName
from unicorn_hf.core.talk import refusal, unquoted
from unicorn_hf.core.words import words
from unicorn_hf.instructions.tasks import Turn, is_cut

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
_CAPTION_TALK = re.compile(
    r"\b(?:the|this|that|your|given|above|provided) (?:(?:given|above|provided|original|short|scene|image) )?"
    rf"(?:captions?|descriptions?|passages?|paragraphs?|prompts?|text|sentences?|information)\b{_WRITTEN}"
    r"|\b(?:the|given|above|provided) context\b(?! of\b)|\bin (?:the|this) (?:story|narrative|excerpt)\b"
    r"|\b(?:according to|based on|as per|judging (?:by|from)) (?:an?|the|this|that|your|what)(?: [\w-]+)? "
    r"(?:caption|description|passage|paragraph|prompt|sentence|context|story|article)s?\b"
    r"|\bmentioned\b|\b(?:doesn['’]t|don['’]t|(?:does|do|did) not|never) (?:mention|specify)\b"
    r"|\bno (?:mention|information|details?) (?:of|about|is|are|was)\b"
    rf"|\b(?:is|are|was|were|as) {_ADVERBS}(?:described|stated|specified)\b"
    r"|\b(?:is|are|was|were) (?:the|an?|his|her|its|their) (?:[\w'’-]+ ){1,4}?(?<!best )(?:described|stated)\b"
    r"|\b(?:described|stated|given|provided) (?:above|here)\b|\bthe described\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"```|\*\*|__[^\W_]|</?[a-z][^<>]*>|\]\(|\\n|[{}]", re.IGNORECASE)
_OTHER_OPTIONS = re.compile(
    r"\b(?i:all|none|any|both|either|neither|two|some) (?i:of) (?i:the) (?i:above|options|choices|answers)\b"
    r"|\b(?i:options?|answers?|choices?) \(?[A-D]\b"
    r"|^\W*(?:(?i:both|either|neither|only) )?[A-D] (?i:and|or|nor|&) [A-D]\b"
)
"""An option that speaks of other options loses its meaning when options change places."""
_LISTED = re.compile(r"(?:^|\s)\(?A[.):] .*\s\(?B[.):] .*\s\(?C[.):] ", re.DOTALL)
"""A question that lists options with their letters: not those that they get."""


def check_conversation(task: TaskName, turns: Sequence[Turn], pairs: PairRange) -> Rejected | None:
    """The first thing that is wrong with a conversation, or None."""
    if not pairs.min <= len(turns) <= pairs.max:
        return Rejected("wrong_count", f"{len(turns)} pairs, {pairs.min} to {pairs.max} are wanted")
    seen: set[str] = set()
    for turn in turns:
        texts = (turn.question, turn.answer, *turn.options)
        if not all(words(text) for text in texts):
            return Rejected("empty_text", turn.question[:80])
        if is_cut(task, turn):
            return Rejected("cut_text", turn.question[:80])
        for text in texts:
            if talk := _CAPTION_TALK.search(unquoted(text)):
                return Rejected("caption_talk", talk.group())
            if words_of_refusal := refusal(text):
                return Rejected("refusal", words_of_refusal)
            if mark := _MARKUP.search(text):
                return Rejected("markup", mark.group())
        for option in turn.options:
            if other := _OTHER_OPTIONS.search(option):
                return Rejected("other_options", other.group())
        if turn.options and _LISTED.search(turn.question):
            return Rejected("listed_options", turn.question[:80])
        if len({" ".join(words(option)) for option in turn.options}) < len(turn.options):
            return Rejected("equal_options", turn.question[:80])
        question = " ".join(words(turn.question))
        if question in seen:
            return Rejected("repeated_question", turn.question[:80])
        if task != "multiple_choice" and " ".join(words(turn.answer)) == question:
            return Rejected("echoed_question", turn.question[:80])
        seen.add(question)
    return None
