"""Languages by their codes: names, and what filters and rehearsals know of each, a YAML file a language.

English is not among the files: its lists and patterns stand where they are used, and judge English texts alone.
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
"""What Arabic writes together with the word that follows: and, so, with, for, like, the."""
_GAP = r"[^.!?。！？।؟\n]{1,40}"


class Rehearsal(BaseModel):
    """Sentences of which `echo` puts texts together."""

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
    """What is known of a language. Phrases are as in `pattern`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function_words: str = ""
    """Words that carry no meaning of their own, a space between two; characters, where a word is not told by spaces."""
    anywhere: str = ""
    """Words that suit any scene."""
    particles: tuple[str, ...] = ()
    """Endings that are taken off a word, in place of a stemmer; longer ones first."""
    question_words: tuple[str, ...] = ()
    """First words of questions that are counted by themselves."""
    refusals: tuple[str, ...]
    """A model that refuses, or speaks of itself as a model."""
    chatter: tuple[str, ...]
    """Friendly words around what was asked for."""
    caption_talk: tuple[str, ...]
    """Talk of the picture or the caption, in a caption."""
    text_talk: tuple[str, ...]
    """Talk of a text that was read, in a conversation about a picture."""
    personal: tuple[str, ...]
    not_known: tuple[str, ...]
    asks: tuple[str, ...]
    """What makes a question of a text without a question mark."""
    yes_no: tuple[str, ...]
    """First words of answers to a question of yes or no."""
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
    """`Chinese` of `zh`; the code itself, where the language has no name here."""
    return _names().get(base(code), (code, ""))[0]


def has_name(code: str) -> bool:
    return base(code) in _names()


def script_of(code: str) -> str:
    """A letter in the script that a language is written in: the first one of its own name."""
    return _names().get(base(code), ("", "a"))[1][0]


def full_name(code: str) -> str:
    """What a model is told: `Chinese (中文)`, `Portuguese (português, pt-BR)`."""
    name, own = _names().get(base(code), ("the language of the code", code))
    return f"{name} ({own}, {code})" if own != code and base(code) != code else f"{name} ({own})"


def code_of(name: str) -> str | None:
    """The code of a language that is given by its name, its English one or its own; None for a code and the unknown."""
    wanted = name.strip().casefold()
    return next((code for code, known in _names().items() if wanted in map(str.casefold, known)), None)


def listed() -> list[str]:
    """Codes of the languages that have word lists."""
    return sorted([ENGLISH, *(path.stem for path in _FOLDER.glob("*.yaml"))])


@lru_cache(maxsize=64)
def word_lists(code: str) -> WordLists | None:
    """What is known of a language; None of English, and of a language that has no file here."""
    path = _FOLDER / f"{base(code)}.yaml"
    if base(code) not in listed():
        return None
    return WordLists.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else None


_UNTOLD = ("th", "lo", "km", "my", "bo", "dz")
"""Languages whose words are told neither by spaces nor by characters that have a meaning."""
_CHARACTERS = {"zh": 2, "ja": 2} | dict.fromkeys(_UNTOLD, 4)


def has_content_words(code: str) -> bool:
    """Whether what a text is about can be told by its words."""
    return base(code) not in _UNTOLD


def remarks(codes: Sequence[str]) -> list[str]:
    """What a reader must know of the filters in languages: how words are counted there, and what is not looked at."""
    found = []
    for code in codes:
        name = english_name(code)
        if number := _CHARACTERS.get(base(code)):
            found.append(f"In {name}, {number} characters count as a word.")
        if base(code) not in listed():
            found.append(
                f"There are no word lists of {name}: refusals, talk about the picture or a text, rhetoric and unsafe "
                "words are not looked for, and requests to describe are in English."
            )
        if not has_content_words(code):
            found.append(
                f"Words of {name} are not told apart: whether a caption keeps and adds to its seed, and whether "
                "questions and answers are grounded in it, is not looked at."
            )
    return found


@lru_cache(maxsize=256)
def finder(code: str, kind: Kind) -> Finder | None:
    """What finds the phrases of a kind in a text; None where the language has no lists.

    A phrase is whole words where its script has spaces: `*` stands for the rest of a word, `…` for some words, and `^`
    at its head for the beginning of a line.
    """
    lists = word_lists(code)
    phrases: tuple[str, ...] = getattr(lists, kind) if lists else ()
    return compiled(phrases) if phrases else None


@lru_cache(maxsize=8)
def compiled(phrases: tuple[str, ...]) -> Finder:
    """What finds some phrases, of any language, in a text."""
    return Finder(
        regex.compile("|".join(map(_expression, phrases)), regex.VERSION1 | regex.MULTILINE), tuple(map(_hint, phrases))
    )


def found_in(code: str, kind: Kind, text: str, english: Finder | None = None) -> str | None:
    """The first words of a kind in a text of a language. `english` is what finds them in English."""
    finds = english if base(code) == ENGLISH else finder(code, kind)
    found = finds.search(text) if finds else None
    return found.strip() if found is not None else None


def _hint(phrase: str) -> str:
    """The longest part of a phrase that stands in every text that has it."""
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
