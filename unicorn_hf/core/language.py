"""Which language a text is in, as far as it can be told without doubt."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from unicorn_hf.core.languages import base, has_name

_SURE = 0.8
"""Probability from which another language is believed. Two words are often taken for any language, at far less."""
_IMPOSSIBLE = 1e-5
"""Probability below which the languages asked for are out, even where several others are equally likely."""
_FEWEST_STRAY = 3
_SCRIPTS = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK", "BOPOMOFO": "CJK", "FULLWIDTH": "LATIN"}
"""Scripts that are written together count as one."""
_LATIN = "LATIN"
_MOST_LATIN = 0.3
"""Share of Latin letters, of names and units, up to which they stray in no text of another script."""
_VARIANTS = {"wuu": "zh", "yue": "zh", "ary": "ar", "arz": "ar", "nb": "no", "nn": "no"}
"""Languages that langid tells from the one that people name, whose written form is much the same."""


def foreign(text: str, languages: Sequence[str]) -> str | None:
    """What shows that `text` is in none of `languages` (`en`, `pt-BR`), or in one of them only in part; else None.

    By langid's naive Bayes model (py3langid), where it is sure; and by letters of a second script, for which a model
    that slips into another language in mid-sentence is known. A language that langid does not know is not checked.
    """
    if stray := _stray_letters(text):
        return stray
    found = other_language(text, languages)
    return f"{found[0]} ({found[1]:.2f})" if found else None


def other_language(text: str, languages: Sequence[str]) -> tuple[str, float] | None:
    """The language that `text` surely is in, and its probability, if it is none of `languages`; else None."""
    codes = _codes(languages)
    if not codes & set(_identifier().labels):
        return None
    shares = _shares(text)
    language, probability = shares[0]
    known = sum(share for code, share in shares if code in codes)
    is_foreign = language not in codes and (probability >= _SURE or known < _IMPOSSIBLE)
    return (language, probability) if is_foreign else None


def language_of(text: str, languages: Sequence[str]) -> str:
    """That of `languages` which `text` is most likely in; the first one, where nothing tells."""
    if len(languages) == 1:
        return languages[0]
    shares = dict(_shares(text))
    known = [shares.get(base(language), 0.0) for language in languages]
    best = max(known)
    return languages[known.index(best)] if best > _SURE * sum(known) else languages[0]


def in_latin_letters(text: str) -> bool:
    """Whether most letters of a text are Latin ones."""
    letters = [_script(letter) for letter in text if letter.isalpha()]
    return letters.count(_LATIN) > len(letters) / 2


def likeliest(text: str) -> str:
    """The language that a text is in, sure or not, among those that have a name here."""
    return next(code for code, _ in _shares(text) if has_name(code))


def _codes(languages: Sequence[str]) -> set[str]:
    codes = {base(language) for language in languages}
    return codes | {_VARIANTS[code] for code in codes & set(_VARIANTS)}


def _shares(text: str) -> list[tuple[str, float]]:
    """Languages by their probability, the likeliest first."""
    ranked: list[tuple[str, float]] = _identifier().rank(text)
    if not any(code in _VARIANTS and share > _IMPOSSIBLE for code, share in ranked[:4]):
        return ranked
    shares: dict[str, float] = {}
    for code, share in ranked:
        name = _VARIANTS.get(code, code)
        shares[name] = shares.get(name, 0.0) + share
    return sorted(shares.items(), key=lambda item: -item[1])


def _stray_letters(text: str) -> str | None:
    if text.isascii():
        return None
    letters: dict[str, list[str]] = {}
    for character, number in Counter(text).items():
        if character.isalpha():
            letters.setdefault(_script(character), []).append(character * number)
    scripts = sorted(letters, key=lambda name: -sum(map(len, letters[name])))
    if scripts and scripts[0] != _LATIN:
        numbers = {name: sum(map(len, runs)) for name, runs in letters.items()}
        few = numbers.get(_LATIN, 0) <= _MOST_LATIN * sum(numbers.values())
        scripts = [name for name in scripts if not (few and name == _LATIN)]
    stray = [letter for name in scripts[1:] for run in letters[name] for letter in run]
    return f"{len(stray)} letters of another script: {''.join(stray[:8])}" if len(stray) >= _FEWEST_STRAY else None


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    return _SCRIPTS.get(name, name)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
