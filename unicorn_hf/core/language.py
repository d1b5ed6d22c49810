"""Language detection, for texts whose language is clear."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from unicorn_hf.core.content import is_plainly_english
from unicorn_hf.core.languages import ENGLISH, base, english_name
from unicorn_hf.core.words import has_other_letters

_SURE = 0.8
"""Minimum probability to accept another language. Two words often look like any language, at far less."""
_IMPOSSIBLE = 1e-5
"""Probability below which the expected languages are excluded, even if several others are equally likely."""
_FEWEST_STRAY = 3
_HAN, _HANGUL, _THAI, _KANA, _LATIN = "CJK", "HANGUL", "THAI", ("HIRAGANA", "KATAKANA"), "LATIN"
_SCRIPTS = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK", "BOPOMOFO": "CJK", "FULLWIDTH": "LATIN"}
"""Scripts that are mixed in a text count as one."""
_MOST_KANA_OF_MIXED = 0.4
"""Minimum share of kana among the letters of a Japanese text."""
_FEWEST_HAN = 20
"""Minimum letters of a Chinese text without kana. A shorter text may be a Japanese name."""
_MOST_LATIN = 0.3
"""Maximum share of Latin letters (names, units) that a text of another script can have."""
_VARIANTS = {"wuu": "zh", "yue": "zh", "ary": "ar", "arz": "ar", "nb": "no", "nn": "no"}
"""Languages that langid separates from the one that people name, with nearly the same written form."""


def foreign(text: str, languages: Sequence[str]) -> str | None:
    """Evidence that `text` is not, or only in part, in one of `languages` (`en`, `pt-BR`); else None.

    Uses letters of a second script, a sign of models that switch language in mid-sentence, and `other_language`.
    """
    if stray := _stray_letters(text):
        return stray
    found = other_language(text, languages)
    return f"{found[0]} ({found[1]:.2f})" if found else None


def other_language(text: str, languages: Sequence[str]) -> tuple[str, float] | None:
    """The language of `text` and its probability, if it is surely none of `languages`; else None.

    Uses script or English function words if they decide alone; else langid's naive Bayes model (py3langid), if it is
    sure. A language that langid does not know is not checked.
    """
    codes = _codes(languages)
    if _told(text) in codes or codes.isdisjoint(_identifier().labels):
        return None
    # Far faster than ranking all languages, and the likeliest one is the same.
    if _identifier().classify(text)[0] in codes:
        return None
    shares = _shares(text)
    language, probability = shares[0]
    known = sum(share for code, share in shares if code in codes)
    is_foreign = language not in codes and (probability >= _SURE or known < _IMPOSSIBLE)
    return (language, probability) if is_foreign else None


def language_of(text: str, languages: Sequence[str]) -> str:
    """The most likely of `languages` for `text`; the first one in doubt."""
    if len(languages) == 1:
        return languages[0]
    told = _told(text)
    if same := next((language for language in languages if base(language) == told), None):
        return same
    shares = dict(_shares(text))
    known = [shares.get(base(language), 0.0) for language in languages]
    best = max(known)
    return languages[known.index(best)] if best > _SURE * sum(known) else languages[0]


def in_latin_letters(text: str) -> bool:
    """Whether most letters of a text are Latin."""
    return main_script(text) == _LATIN


def main_script(text: str) -> str:
    """The script of most letters of a text; empty if it has none."""
    scripts = Counter(_SCRIPTS.get(_script(letter), _script(letter)) for letter in text if letter.isalpha())
    return next((name for name, _ in scripts.most_common(1)), "")


def likeliest(text: str) -> str:
    """The most likely language of a text, among those with a name here."""
    return next(code for code, _ in _shares(text) if english_name(code) != code)


def _codes(languages: Sequence[str]) -> set[str]:
    codes = {base(language) for language in languages}
    return codes | {_VARIANTS[code] for code in codes & set(_VARIANTS)}


@lru_cache(maxsize=16)
def _shares(text: str) -> list[tuple[str, float]]:
    """Languages and probabilities, the most likely first."""
    ranked: list[tuple[str, float]] = _identifier().rank(text)
    if not any(code in _VARIANTS and share > _IMPOSSIBLE for code, share in ranked[:4]):
        return ranked
    shares: dict[str, float] = {}
    for code, share in ranked:
        name = _VARIANTS.get(code, code)
        shares[name] = shares.get(name, 0.0) + share
    return sorted(shares.items(), key=lambda item: -item[1])


@lru_cache(maxsize=16)
def _letters(text: str) -> Counter[str]:
    """Number of letters by script; empty for a text in Latin script."""
    numbers: Counter[str] = Counter()
    if has_other_letters(text):
        for character, number in Counter(text).items():
            if character.isalpha():
                numbers[_script(character)] += number
    return numbers


def _told(text: str) -> str | None:
    """The language of a text if script or function words decide alone, which takes a fraction of the model's time."""
    letters = _letters(text)
    return _by_script(letters) or (ENGLISH if not letters and is_plainly_english(text) else None)


def _by_script(letters: Counter[str]) -> str | None:
    """The language of the script of most letters, if only one language uses it."""
    most = (1 - _MOST_LATIN) * letters.total()
    kana = sum(letters[name] for name in _KANA)
    for code, number in (("ko", letters[_HANGUL]), ("th", letters[_THAI])):
        if number and number >= most:
            return code
    if kana + letters[_HAN] < most:
        return None
    if kana:
        return "ja" if kana >= _MOST_KANA_OF_MIXED * letters.total() else None
    return "zh" if letters[_HAN] >= _FEWEST_HAN else None


def _stray_letters(text: str) -> str | None:
    numbers: Counter[str] = Counter()
    for name, number in _letters(text).items():
        numbers[_SCRIPTS.get(name, name)] += number
    scripts = [name for name, _ in numbers.most_common()]
    if scripts and scripts[0] != _LATIN and numbers[_LATIN] <= _MOST_LATIN * numbers.total():
        scripts = [name for name in scripts if name != _LATIN]
    if sum(numbers[name] for name in scripts[1:]) < _FEWEST_STRAY:
        return None
    stray = [
        letter
        for name in scripts[1:]
        for letter in Counter(text).elements()
        if letter.isalpha() and _SCRIPTS.get(_script(letter), _script(letter)) == name
    ]
    return f"{len(stray)} letters of another script: {''.join(stray[:8])}"


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0].split("-")[0]


@lru_cache(maxsize=1)
def _identifier() -> Any:
    import numpy as np
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Convert from half precision once: numpy would do it for each text, in two thirds of the time.
    identifier.nb_ptc = identifier.nb_ptc.astype(np.float32)
    return identifier
