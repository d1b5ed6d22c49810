"""What a model says of itself instead of doing what it was asked, and how to leave aside what others say."""

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


# Several filters ask for it, of one text after the other.
@lru_cache(maxsize=64)
def unquoted(text: str) -> str:
    """The text without what stands in quotation marks: what a sign in a scene says is not what the model says."""
    return _QUOTED.sub('""', text)


def refusal(text: str, language: str = ENGLISH) -> str | None:
    """The words with which a model refuses or speaks of itself as a model; None if there are none."""
    return found_in(language, "refusals", unquoted(text), _REFUSAL)
