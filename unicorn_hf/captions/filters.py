"""What a caption must be to be kept. Each filter has a name, which is the reason that a rejection is counted under."""

import re
from collections.abc import Callable

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import CaptionFilters
from unicorn_hf.core.words import words

_REFUSAL = re.compile(
    r"\b(?:i'm sorry|i am sorry|i can(?:no|')t|as an ai|as a language model|i apologi[sz]e|i'm unable|i am unable"
    r"|happy to help|let me know if|here(?:'s| is) (?:a|the|your) (?:paragraph|caption|description)"
    r"|sure[,!]|certainly[,!])",
    re.IGNORECASE,
)
_CAPTION_TALK = re.compile(
    r"\b(?:the|this|that|an?|your) (?:caption|image|picture|photo(?:graph)?|prompt|seed|scene description)s?\b"
    r"(?! (?:frame|book|window|wire|album|booth|hangs?|on the wall))|\bcaption seed\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"(?:^|\n)\s*(?:[-*•#]|\d+[.)])\s|\*\*|```|</?\w+>|\n\s*\n")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*$")


def clean(text: str) -> str:
    """An answer as a caption: no surrounding space or quotation marks, one line. Idempotent."""
    text = text.strip()
    while len(text) > 1 and text[0] in '"“' and text[-1] in '"”' and not any(mark in text[1:-1] for mark in '"“”'):
        text = text[1:-1].strip()
    return text


def check_caption(caption: str, answer: Answer, filters: CaptionFilters) -> Rejected | None:
    """The first filter that the caption does not pass, in a fixed order; None if it passes all."""
    if answer.finish_reason == "context":
        return Rejected("too_long_for_model", f"{answer.num_prompt_tokens} tokens of prompt")
    for name, check in _CHECKS.items():
        detail = check(caption, answer, filters)
        if detail is not None:
            return Rejected(name, detail)
    return None


def repeated_fraction(text: str, run: int = 4) -> float:
    """Share of the text's runs of `run` words that stand in it before: 0 for prose, towards 1 for a loop."""
    tokens = words(text)
    runs = [tuple(tokens[start : start + run]) for start in range(len(tokens) - run + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _empty(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    return None if caption else "no text"


def _unfinished(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    if answer.finish_reason == "length":
        return "cut at max_tokens"
    return None if _SENTENCE_END.search(caption) else f"ends with {caption[-20:]!r}"


def _refusal(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    return _found(_REFUSAL, caption) if filters.forbid_refusals else None


def _caption_talk(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    return _found(_CAPTION_TALK, caption) if filters.forbid_caption_talk else None


def _markup(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    return _found(_MARKUP, caption) if filters.forbid_markup else None


def _too_short(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    count = len(words(caption))
    return f"{count} words" if count < filters.min_words else None


def _too_long(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    count = len(words(caption))
    return f"{count} words" if count > filters.max_words else None


def _repetition(caption: str, answer: Answer, filters: CaptionFilters) -> str | None:
    fraction = repeated_fraction(caption)
    return f"{fraction:.2f} of its 4-word runs repeat" if fraction > filters.max_repeated_fraction else None


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return repr(match.group().strip()) if match else None


_CHECKS: dict[str, Callable[[str, Answer, CaptionFilters], str | None]] = {
    "empty": _empty,
    "unfinished": _unfinished,
    "refusal": _refusal,
    "caption_talk": _caption_talk,
    "markup": _markup,
    "too_short": _too_short,
    "too_long": _too_long,
    "repetition": _repetition,
}
