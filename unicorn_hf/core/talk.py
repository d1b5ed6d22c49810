"""Detects refusals and models that speak about themselves, outside quotations."""

import re
from functools import lru_cache

from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, found_in

_QUOTED = re.compile(r'"[^"\n]*"|„[^“”\n]*[“”]|“[^”\n]*”|«[^»\n]*»|「[^」\n]*」|『[^』\n]*』')
_REFUSAL = Finder(
    re.compile(
        r"\bi(?:['’]m| am) (?:so |very |really |truly )?sorry\b|\bi apologi[sz]e\b"
        r"|\bi(?:['’]m| am) (?:unable|not able|not capable)\b"
        r"|\bi (?:can(?:not|['’]t| not)|could(?:n['’]t| not)|do(?:n['’]t| not)|won['’]t|will not)(?: be able to)? "
        r"(?:see|view|determine|tell|answer|provide|assist|help|access|identify|describe|generate|create|fulfil|fulfill"
        r"|comply|know|have (?:access|enough|any|the|personal|eyes))\b"
        r"|\bas an? (?:ai|artificial intelligence)(?:,| (?:language |chat ?)?(?:model|assistant|system|bot)\b)"
        r"|\b(?:as|i['’]m|i am|being|just|only) an? (?:large |ai )?language model\b"
    ),
    hints=("i ", "i'", "i’", "a ai", "an ai", "artificial", "language model"),
)


@lru_cache(maxsize=64)
def unquoted(text: str) -> str:
    """The text without quotations: the words on a sign in a scene are not the model's."""
    return _QUOTED.sub('""', text)


def refusal(text: str, language: str = ENGLISH) -> str | None:
    """The words with which a model refuses or speaks of itself as a model, or None."""
    return found_in(language, "refusals", unquoted(text), _REFUSAL)
