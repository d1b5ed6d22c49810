"""What a caption must be to be kept. Each filter has a name, which is the reason that a rejection is counted under."""

from collections.abc import Callable

from unicorn_hf.captions.filters import talk
from unicorn_hf.captions.filters.draft import Draft, clean
from unicorn_hf.captions.filters.seed import added_words, lost_words, seed_words
from unicorn_hf.core.characters import control_character
from unicorn_hf.core.language import foreign
from unicorn_hf.core.languages import has_content_words
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.recipe import CaptionFilters
from unicorn_hf.core.sentences import is_finished
from unicorn_hf.core.talk import refusal
from unicorn_hf.core.thoughts import leftover
from unicorn_hf.core.word_lists import rhetoric, unsafe
from unicorn_hf.core.words import count, num_words, repeated_fraction

__all__ = ["Draft", "check_caption", "clean"]


def check_caption(draft: Draft, filters: CaptionFilters) -> Rejected | None:
    """The first filter that the caption does not pass, in a fixed order; None if it passes all."""
    if nothing := unanswered(draft.answer):
        return nothing
    for name, check in _CHECKS.items():
        detail = check(draft, filters)
        if detail is not None:
            return Rejected(name, detail)
    return None


def _empty(draft: Draft, filters: CaptionFilters) -> str | None:
    return None if draft.caption else "no text"


def _control(draft: Draft, filters: CaptionFilters) -> str | None:
    char = control_character(draft.caption)
    return f"U+{ord(char):04X}" if char else None


def _unfinished(draft: Draft, filters: CaptionFilters) -> str | None:
    if draft.answer.finish_reason == "length":
        return "cut at max_tokens"
    return None if is_finished(draft.caption) else f"ends with {draft.caption[-20:]!r}"


def _refusal(draft: Draft, filters: CaptionFilters) -> str | None:
    if not filters.forbid_refusals:
        return None
    return refusal(draft.caption, draft.language) or talk.chatter(draft.unquoted, draft.language)


def _caption_talk(draft: Draft, filters: CaptionFilters) -> str | None:
    return talk.caption_talk(draft.unquoted, draft.language) if filters.forbid_caption_talk else None


def _markup(draft: Draft, filters: CaptionFilters) -> str | None:
    # In the answer as it was: the caption is one line. What a model's template left there is never a caption.
    text = draft.answer.text.strip()
    return leftover(text) or (talk.markup(text) if filters.forbid_markup else None)


def _unsafe(draft: Draft, filters: CaptionFilters) -> str | None:
    return unsafe(draft.caption, filters.unsafe_words, draft.language) if filters.forbid_unsafe else None


def _language(draft: Draft, filters: CaptionFilters) -> str | None:
    return foreign(draft.unquoted, draft.languages) if filters.check_language else None


def _too_short(draft: Draft, filters: CaptionFilters) -> str | None:
    number = num_words(draft.caption)
    return f"{number} words" if number < filters.min_words else None


def _too_long(draft: Draft, filters: CaptionFilters) -> str | None:
    number = num_words(draft.caption)
    return f"{number} words" if number > filters.max_words else None


def _repetition(draft: Draft, filters: CaptionFilters) -> str | None:
    fraction = repeated_fraction(draft.caption)
    return f"{fraction:.2f} of its 4-word runs repeat" if fraction > filters.max_repeated_fraction else None


def _rhetoric(draft: Draft, filters: CaptionFilters) -> str | None:
    found = rhetoric(draft.unquoted, draft.seed, draft.language)
    return ", ".join(found) if len(found) > filters.max_rhetoric else None


def _lost_seed(draft: Draft, filters: CaptionFilters) -> str | None:
    if draft.is_across:
        return None
    wanted = seed_words(draft.seed, draft.language)
    lost = lost_words(wanted, draft.caption, draft.language)
    return f"lost: {', '.join(lost)}" if len(wanted) - len(lost) < filters.min_seed_coverage * len(wanted) else None


def _little_added(draft: Draft, filters: CaptionFilters) -> str | None:
    if not has_content_words(draft.language):
        return None
    number = count(added_words(draft.seed, draft.caption, draft.language))
    return f"{number} content words added" if number < filters.min_added_words else None


_CHECKS: dict[str, Callable[[Draft, CaptionFilters], str | None]] = {
    "empty": _empty,
    "control": _control,
    "unfinished": _unfinished,
    "refusal": _refusal,
    "caption_talk": _caption_talk,
    "markup": _markup,
    "unsafe": _unsafe,
    "too_short": _too_short,
    "too_long": _too_long,
    "language": _language,
    "repetition": _repetition,
    "rhetoric": _rhetoric,
    "lost_seed": _lost_seed,
    "little_added": _little_added,
}
