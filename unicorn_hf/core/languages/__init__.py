"""Languages by code: names, and word lists for filters and rehearsals in a YAML file per language.

English has no file: its lists and patterns are in the modules that use them.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import regex
import yaml
from pydantic import BaseModel, ConfigDict

from unicorn_hf.core.finder import Finder

_FOLDER = Path(__file__).parent
ENGLISH = "en"
Kind = Literal[
    "refusals", "chatter", "caption_talk", "text_talk", "personal", "not_known", "asks", "yes_no", "other_options",
    "rhetoric", "unsafe",
]  # fmt: skip

_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}々〆ー"
_LETTER = rf"[\w\p{{M}}\u200c\u200d--[{_NO_SPACES}]]"
_SPACED = regex.compile(_LETTER, regex.VERSION1)
_ARABIC = regex.compile(r"\p{Arabic}")
_ARTICLES = "[وفبلك]?(?:ال)?"
"""Arabic words that are written together with the next one: and, so, with, for, like, the."""
_GAP = r"[^.!?。！？।؟\n]{1,40}"


class Rehearsal(BaseModel):
    """Sentences from which `echo` composes texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sign: str
    sentence: str
    question: str
    option: str
    answer: str
    verbs: tuple[str, ...]
    subjects: tuple[str, ...]
    places: tuple[str, ...]


class WordLists(BaseModel):
    """The word lists of a language. For the syntax of phrases see `finder`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function_words: str = ""
    """Function words, separated by spaces; characters, in scripts without spaces."""
    anywhere: str = ""
    """Words that fit any scene."""
    particles: tuple[str, ...] = ()
    """Endings to remove, instead of a stemmer; longer ones first."""
    question_words: tuple[str, ...] = ()
    """First words of questions, for counting question types."""
    refusals: tuple[str, ...]
    """A model that refuses, or speaks of itself as a model."""
    chatter: tuple[str, ...]
    """Friendly words around the answer."""
    caption_talk: tuple[str, ...]
    """A caption that mentions the picture or the caption."""
    text_talk: tuple[str, ...]
    """A conversation about a picture that mentions a text."""
    personal: tuple[str, ...]
    not_known: tuple[str, ...]
    asks: tuple[str, ...]
    """Words that make a text a question without a question mark."""
    yes_no: tuple[str, ...]
    """First words of answers to yes-no questions."""
    other_options: tuple[str, ...]
    rhetoric: tuple[str, ...]
    unsafe: tuple[str, ...]
    describe: tuple[str, ...]
    """Requests that a caption answers."""
    echo: Rehearsal


@lru_cache(maxsize=256)
def base(code: str) -> str:
    """The language of a code with a region or script: `zh` of `zh-TW`."""
    return code.split("-")[0].lower()


@lru_cache(maxsize=1)
def _names() -> dict[str, tuple[str, str]]:
    lines = (_FOLDER / "names.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {code: (name, own) for code, name, own in rows}


def english_name(code: str) -> str:
    """`Chinese` for `zh`; the code itself, if the language has no name here."""
    return _names().get(base(code), (code, ""))[0]


def script_of(code: str) -> str:
    """A letter in the language's script: the first one of its own name."""
    return _names().get(base(code), ("", "a"))[1][0]


def full_name(code: str) -> str:
    """The name in prompts: `Chinese (中文)`, `Portuguese (português, pt-BR)`."""
    name, own = _names().get(base(code), ("the language of the code", code))
    return f"{name} ({own}, {code})" if own != code and base(code) != code else f"{name} ({own})"


def code_of(name: str) -> str | None:
    """The code of a language from its English or own name; None for a code or an unknown name."""
    wanted = name.strip().casefold()
    return next((code for code, known in _names().items() if wanted in map(str.casefold, known)), None)


def listed() -> list[str]:
    """Codes of the languages that have word lists."""
    return sorted([ENGLISH, *(path.stem for path in _FOLDER.glob("*.yaml"))])


@lru_cache(maxsize=64)
def word_lists(code: str) -> WordLists | None:
    """The word lists of a language; None for English, and for a language without a file here."""
    path = _FOLDER / f"{base(code)}.yaml"
    if base(code) not in listed():
        return None
    return WordLists.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else None


_UNTOLD = ("th", "lo", "km", "my", "bo", "dz")
"""Languages without spaces between words, whose characters carry no meaning."""
_CHARACTERS = {"zh": 2, "ja": 2} | dict.fromkeys(_UNTOLD, 4)


def has_content_words(code: str) -> bool:
    """Whether content words can be extracted from texts in this language."""
    return base(code) not in _UNTOLD


def remarks(codes: Sequence[str]) -> list[str]:
    """Notes on the filters for languages: how words are counted, and which checks are skipped."""
    found = []
    for code in codes:
        name = english_name(code)
        if number := _CHARACTERS.get(base(code)):
            found.append(f"In {name}, {number} characters count as a word.")
        if base(code) not in listed():
            found.append(
                f"There are no word lists for {name}: the filters do not check refusals, talk about the picture or a "
                "text, rhetoric and unsafe words, and requests to describe are in English."
            )
        if not has_content_words(code):
            found.append(
                f"The words of {name} cannot be separated: the filters do not check whether a caption keeps and "
                "extends its seed, and whether questions and answers are grounded in it."
            )
    return found


@lru_cache(maxsize=256)
def finder(code: str, kind: Kind) -> Finder | None:
    """The finder of a kind of phrases; None if the language has no lists.

    A phrase matches whole words in scripts with spaces: `*` matches the rest of a word, `…` some words, and a leading
    `^` the beginning of a line.
    """
    lists = word_lists(code)
    phrases: tuple[str, ...] = getattr(lists, kind) if lists else ()
    return compiled(phrases) if phrases else None


@lru_cache(maxsize=8)
def compiled(phrases: tuple[str, ...]) -> Finder:
    """A finder of phrases in any language."""
    return Finder(
        regex.compile("|".join(map(_expression, phrases)), regex.VERSION1 | regex.MULTILINE), tuple(map(_hint, phrases))
    )


def found_in(code: str, kind: Kind, text: str, english: Finder | None = None) -> str | None:
    """The first phrase of a kind in a text. `english` is the finder for English."""
    finds = english if base(code) == ENGLISH else finder(code, kind)
    found = finds.search(text) if finds else None
    return found.strip() if found is not None else None


def _hint(phrase: str) -> str:
    """The longest part of a phrase that every match contains."""
    parts = phrase.lower().removeprefix("^").replace("*", "…").split("…")
    return max((" ".join(part.split()) for part in parts), key=len)


def _expression(phrase: str) -> str:
    at_head = phrase.startswith("^")
    phrase = phrase.removeprefix("^").lower()
    words = r"\s+".join(regex.escape(word) for word in phrase.split())
    words = words.replace(r"\*", f"{_LETTER}*").replace(rf"\s+{regex.escape('…')}\s+", rf"\b{_GAP}")
    before = r"^\W*" if at_head else (rf"(?<!{_LETTER})" if _SPACED.match(phrase) else "")
    if _ARABIC.match(phrase):
        before += _ARTICLES
    return f"{before}{words}{rf'(?!{_LETTER})' if _SPACED.match(phrase[-1]) else ''}"
