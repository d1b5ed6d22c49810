"""Words, as filters and statistics count them."""

import re

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def words(text: str) -> list[str]:
    """Lower-case words; digits count, punctuation does not, `don't` and `black-eyed` are one each."""
    return _WORD.findall(text.lower())
