"""Checks that seeds are in the recipe's language, before any request is sent."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.language import in_latin_letters, likeliest, main_script, other_language
from unicorn_hf.core.languages import base, english_name, script_of, word_lists

SAMPLE = 512
"""Number of seeds to check."""
_AT_ONCE = 16
"""Seeds to check together: one or two words can be of any language."""
_MOST = 0.8
_NAMES_IN = "la"
"""Species have Latin names in any language."""


def another_language(texts: Iterable[str], languages: Sequence[str]) -> str | None:
    """The language of the first texts, if at least four fifths are in one script and surely in none of `languages`."""
    sample = [text for text in islice(texts, SAMPLE) if text]
    # Texts of another script would decide for the others.
    scripts = [main_script(text) for text in sample]
    most, _ = Counter(scripts).most_common(1)[0] if sample else ("", 0)
    some = [text for text, script in zip(sample, scripts, strict=True) if script == most]
    groups = [some[start : start + _AT_ONCE] for start in range(0, len(some), _AT_ONCE)]
    num_foreign = sum(len(group) for group in groups if _is_foreign("\n".join(group), languages))
    if num_foreign < max(_MOST * len(sample), 1):
        return None
    code = likeliest("\n".join(some))
    return None if code == _NAMES_IN or code in map(base, languages) else code


def check_seed_language(name: str, seeds: Iterable[str], languages: Sequence[str]) -> None:
    """Check the first seeds of a source.

    Raises:
        InputError: they are clearly in none of `languages`.
    """
    code = another_language(seeds, languages)
    if code is None:
        return
    own, wanted = english_name(code), " or ".join(map(english_name, languages))
    raise InputError(
        f"{name}: the seeds are in {own}, but the recipe's language is {wanted}",
        f"For a set in {own}, use --language {code} (in a recipe, language: {code}). "
        f"For captions in {wanted} from these seeds, use --set seeds.languages={code}.",
    )


def _is_foreign(text: str, languages: Sequence[str]) -> bool:
    listed = [language for language in languages if word_lists(language)]
    other_script = len(listed) == len(languages) and not any(in_latin_letters(script_of(code)) for code in listed)
    return (other_script and in_latin_letters(text)) or other_language(text, languages) is not None
