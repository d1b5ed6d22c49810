"""Which language a text is in, as far as it can be told without doubt."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_SURE = 0.8
"""Probability from which another language is believed. Two words are often taken for any language, at far less."""
_IMPOSSIBLE = 1e-5
"""Probability below which the languages asked for are out, even where several others are equally likely."""
_FEWEST_STRAY = 3
_SCRIPTS = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK", "BOPOMOFO": "CJK", "FULLWIDTH": "LATIN"}
"""Scripts that are written together count as one."""


def foreign(text: str, languages: Sequence[str]) -> str | None:
    """What shows that `text` is in none of `languages` (`en`, `pt-BR`), or in one of them only in part; else None.

    By langid's naive Bayes model (py3langid), where it is sure; and by letters of a second script, for which a model
    that slips into another language in mid-sentence is known. A language that langid does not know is not checked.
    """
    if stray := _stray_letters(text):
        return stray
    codes = {language.split("-")[0].lower() for language in languages}
    identifier = _identifier()
    if not codes & set(identifier.labels):
        return None
    ranked = identifier.rank(text)
    language, probability = ranked[0]
    known = sum(share for code, share in ranked if code in codes)
    is_foreign = language not in codes and (probability >= _SURE or known < _IMPOSSIBLE)
    return f"{language} ({probability:.2f})" if is_foreign else None


def _stray_letters(text: str) -> str | None:
    if text.isascii():
        return None
    letters: dict[str, list[str]] = {}
    for character, number in Counter(text).items():
        if character.isalpha():
            letters.setdefault(_script(character), []).append(character * number)
    scripts = sorted(letters, key=lambda name: -sum(map(len, letters[name])))
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
