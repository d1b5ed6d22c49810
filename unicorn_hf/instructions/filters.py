"""What a conversation must be to be kept. The model that is trained on it sees an image, never a caption."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial

from unicorn_hf.core.characters import CONTROL
from unicorn_hf.core.content import content_words, is_plainly_english, telling_words
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.language import foreign
from unicorn_hf.core.languages import ENGLISH, Kind, found_in
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import InstructionFilters
from unicorn_hf.core.sentences import ends_with_question_mark, has_question_mark, is_finished
from unicorn_hf.core.talk import refusal, unquoted
from unicorn_hf.core.thoughts import leftover
from unicorn_hf.core.word_lists import unsafe
from unicorn_hf.core.words import count, num_words, repeated_fraction, runs, words
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
_NOT_KNOWN = Finder(
    re.compile(
        r"\b(?:is|are|was|were|remains?|it['’]s) "
        r"(?:not (?:known|clear|certain|sure|visible|shown|possible to)|un(?:known|clear|certain)|impossible to)\b"
        r"|\bnot enough to (?:say|tell|know)\b|\bthere is no (?:answer|way to)\b"
        r"|\b(?:cannot|can['’]t|could not) be (?:determined|known|said|told|seen)\b"
    ),
    hints=("not", "unknown", "unclear", "uncertain", "impossible", "no answer", "no way", "can't", "can’t"),
)
_REQUESTS = Finder(
    re.compile(
        r"^(?:please )?(?:describe|name|explain|list|identify|tell|give|compare|count|choose|pick|select|complete"
        r"|estimate|suggest|imagine|predict|state|point out|infer|summari[sz]e|discuss)\b"
    )
)
_TO_COMPLETE = re.compile(r"_{2,}|[:：]$")
_YES_NO = Finder(re.compile(r"(?:yes|no)\b"))
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
"""An option that speaks of other options loses its meaning when options change places."""
_LISTED = re.compile(
    r"(?:^|\s)\(?A[.):] .*\s\(?B[.):] .*\s\(?C[.):] |(?:^|\W)A[．、）：].*\WB[．、）：].*\WC[．、）：]",
    re.DOTALL,
)
"""A question that lists options with their letters: not those that they get."""


_A_SENTENCE = 3
"""Words of an answer that may not come twice; shorter ones, `a dog`, may."""
_ALIKE = 0.85
"""Answers that share more of their words (Jaccard) are one answer."""
_FEW_WORDS = 6
"""An answer of no more words need not be a sentence."""


MAX_QUESTION, MAX_OPTION = 240, 100
"""Characters."""


class Scene:
    """What a caption tells of, for checks that compare with it."""

    def __init__(self, caption: str, language: str = ENGLISH, languages: Sequence[str] = (ENGLISH,)) -> None:
        self._caption = caption
        self._runs_of: dict[int, set[tuple[str, ...]]] = {}
        self.language = language
        """The caption's, in which its conversation is judged."""
        self.languages = languages
        """The recipe's."""

    def grounded(self, text: str) -> float:
        """The share of the telling words of `text` that the caption has too; 1 where it has none."""
        telling = set(telling_words(text, self.language))
        return len(telling & self._content) / len(telling) if telling else 1.0

    def copied(self, text: str, num_words: int) -> str | None:
        """The first run of `num_words` words of `text` that stands in the caption too."""
        there = self._runs(num_words)
        return next((" ".join(run) for run in runs(text, num_words) if run in there), None)

    def _runs(self, num_words: int) -> set[tuple[str, ...]]:
        if num_words not in self._runs_of:
            self._runs_of[num_words] = set(runs(self._caption, num_words))
        return self._runs_of[num_words]

    @cached_property
    def _content(self) -> frozenset[str]:
        return frozenset(content_words(self._caption, self.language))


Check = Callable[[Turn, Scene, InstructionFilters], str | None]
"""What is wrong with a turn, in its own words; None if nothing is."""


def good_turns(
    turns: Sequence[Turn], scene: Scene, checks: Mapping[str, Check], filters: InstructionFilters
) -> tuple[list[Turn], list[Rejected]]:
    """The turns that pass all checks and ask what none before them asks, and why the others do not."""
    good: list[Turn] = []
    bad: list[Rejected] = []
    asked: set[tuple[str, ...]] = set()
    said: list[frozenset[str]] = []
    for turn in turns:
        question, answer = _asked(turn.question, scene.language), frozenset(words(turn.answer))
        if wrong := check_turn(turn, scene, checks, filters):
            bad.append(wrong)
        elif question in asked and "repeated_question" not in filters.without:
            bad.append(Rejected("repeated_question", turn.question[:200]))
        elif "repeated_answer" not in filters.without and any(_alike(answer, other) for other in said):
            bad.append(Rejected("repeated_answer", turn.answer[:200]))
        else:
            good.append(turn)
            asked.add(question)
            if count(answer) >= _A_SENTENCE:
                said.append(answer)
    return good, bad


def check_turn(turn: Turn, scene: Scene, checks: Mapping[str, Check], filters: InstructionFilters) -> Rejected | None:
    """The first check that the turn does not pass."""
    for name, check in checks.items():
        if name not in filters.without and (detail := check(turn, scene, filters)) is not None:
            return Rejected(name, detail[:200])
    return None


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) > _ALIKE * len(one | other)


def _asked(question: str, language: str) -> tuple[str, ...]:
    """What a question asks, whatever the order of its words: its first word, and its content words."""
    found, content = words(question), content_words(question, language)
    return (*found[:1], *sorted(set(content))) if content else found


def cut_text(max_answer: int) -> Check:
    """A text that fills all the room that the schema gives it: a guided model was stopped there."""

    def check(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
        room = {turn.question: MAX_QUESTION, turn.answer: max_answer} | dict.fromkeys(turn.options, MAX_OPTION)
        return next((text[-80:] for text, most in room.items() if len(text) >= most), None)

    return check


def _empty_text(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return None if all(words(text) for text in turn.texts) else f"in {turn.question[:80]!r}"


def _unsafe(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return _first(partial(unsafe, language=scene.language), turn.texts, turn.whole)


def _caption_talk(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return _found("text_talk", turn, scene, _CAPTION_TALK)


def _refusal(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return _first(partial(refusal, language=scene.language), turn.texts, turn.whole)


def _markup(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return next(filter(None, map(leftover, turn.texts)), None) or _first(_MARKUP.search, turn.texts, turn.whole)


def _garbled(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    # A question may end with a colon: the options follow.
    texts = (turn.question.rstrip(":"), turn.answer, *turn.options)
    return _first(_GARBLED.search, texts, "\n".join(texts))


def _personal(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return _found("personal", turn, scene, _PERSONAL)


def _language(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    # As a whole: a few words are taken for any language. The letter of a choice is not among them.
    text = unquoted(" ".join((turn.question, *(turn.options or (turn.answer,)))))
    # English about a caption that is in another script may name what that script writes.
    if ENGLISH in scene.languages and is_plainly_english(text):
        return None
    return foreign(text, scene.languages)


def _repetition(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.answer[-80:] if repeated_fraction(turn.answer) > filters.max_repeated_fraction else None


def _not_known(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return found_in(scene.language, "not_known", turn.right_answer, _NOT_KNOWN)


def _not_a_question(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    asks = (
        ends_with_question_mark(turn.question)
        or _TO_COMPLETE.search(turn.question)
        or found_in(scene.language, "asks", turn.question, _REQUESTS)
    )
    return None if asks else turn.question[-80:]


def _ungrounded_question(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.question if scene.grounded(turn.question) < filters.min_grounded else None


def _ungrounded_answer(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.right_answer if scene.grounded(turn.right_answer) < filters.min_grounded else None


def _echoed_question(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    """The question's words again, or a sentence that adds none to them; `Yes, it does` adds something."""
    said = set(content_words(turn.answer, scene.language))
    adds_nothing = count(said) >= _A_SENTENCE and said <= set(content_words(turn.question, scene.language))
    again = words(turn.answer) == words(turn.question)
    return turn.answer if again or (adds_nothing and not _says_yes_or_no(turn.answer, scene.language)) else None


def _says_yes_or_no(answer: str, language: str) -> bool:
    first = " ".join(words(answer)[:1])
    return found_in(language, "yes_no", first, _YES_NO) is not None


def _asks_back(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.answer[-80:] if has_question_mark(unquoted(turn.answer)) else None


def _unfinished_answer(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    long = num_words(turn.answer) > _FEW_WORDS
    return turn.answer[-80:] if long and not is_finished(turn.answer) else None


def _copied_caption(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return scene.copied(turn.answer, filters.max_copied_words + 1)


def _no_reasoning(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.answer if num_words(turn.answer) < filters.min_reasoning_words else None


def _other_options(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return _first(
        partial(found_in, scene.language, "other_options", english=_OTHER_OPTIONS),
        turn.options,
        "\n".join(turn.options),
    )


def _listed_options(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.question[:80] if _LISTED.search(turn.question) else None


def _equal_options(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    return turn.question[:80] if len({words(option) for option in turn.options}) < len(turn.options) else None


def _given_away(turn: Turn, scene: Scene, filters: InstructionFilters) -> str | None:
    """The question names the right option, and none of the wrong ones."""
    question = set(content_words(turn.question, scene.language))
    told = {option: set(content_words(option, scene.language)) for option in turn.options}
    named = [option for option, content in told.items() if content and content <= question]
    return turn.right_answer if named == [turn.right_answer] else None


def _found(kind: Kind, turn: Turn, scene: Scene, english: Finder) -> str | None:
    return _first(lambda text: found_in(scene.language, kind, unquoted(text), english), turn.texts, turn.whole)


def _first(find: Callable[[str], str | None], texts: Iterable[str], whole: str) -> str | None:
    """What is found first in `texts`. Most have nothing, which is seen at once in `whole`, all of them as lines."""
    return next(filter(None, map(find, texts)), None) if find(whole) else None


COMMON: Mapping[str, Check] = {
    "empty_text": _empty_text,
    "unsafe": _unsafe,
    "caption_talk": _caption_talk,
    "refusal": _refusal,
    "markup": _markup,
    "garbled": _garbled,
    "personal": _personal,
    "language": _language,
    "not_a_question": _not_a_question,
    "ungrounded_question": _ungrounded_question,
    "ungrounded_answer": _ungrounded_answer,
}
SENTENCES: Mapping[str, Check] = {
    "echoed_question": _echoed_question,
    "repetition": _repetition,
    "asks_back": _asks_back,
    "unfinished_answer": _unfinished_answer,
    "copied_caption": _copied_caption,
}
KNOWN: Mapping[str, Check] = {"not_known": _not_known}
"""Reasoning may say what cannot be known; an answer to a plain question may not."""
REASONING: Mapping[str, Check] = {"no_reasoning": _no_reasoning}
CHOICES: Mapping[str, Check] = {
    "other_options": _other_options,
    "listed_options": _listed_options,
    "equal_options": _equal_options,
    "given_away": _given_away,
}
