"""Pairs as tagged lines, one per field, which a model can write without a grammar.

Question: What is the cart loaded with?
Answer: Yellow pumpkins.
"""

import re
from collections.abc import Mapping, Sequence

from unicorn_hf.core.outcome import Rejected

_TAGGED = re.compile(
    r"\W{0,3}(?:\d{1,2}[.)] ?)?\W{0,3}(?P<tag>[A-Za-z]+)(?: \d{1,2})?\*{0,2}[.:)]\W{0,2}? ?(?P<text>.*)"
)
"""Also matches numbers, bullets and asterisks, which models like around a tag."""


def write(pairs: Sequence[Mapping[str, object]]) -> str:
    """Pairs as tagged lines, separated by empty lines; a list has a line for each text."""
    return "\n\n".join("\n".join(_lines(pair)) for pair in pairs)


def read(text: str, tags: Sequence[str], *, cut: bool = False) -> list[dict[str, list[str]]] | Rejected:
    """Parse the pairs of a text: the texts of each of `tags`, in lower case; only the last tag can have several.

    Strict: each line is the next field of a pair, in the order of `tags`. Empty lines and lines before the first field
    are ignored. The first line out of place ends the pairs; an incomplete last pair is dropped, and so is the last one
    of a text that was `cut` off. Never raises.
    """
    pairs: list[dict[str, list[str]]] = []
    out_of_place = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _TAGGED.fullmatch(line)
        tag = match["tag"].lower() if match else ""
        if match is None or tag not in _next(pairs, tags):
            if pairs:
                out_of_place = line
                break
            continue
        if tag == tags[0]:
            pairs.append({})
        pairs[-1].setdefault(tag, []).append(match["text"].strip("* "))
    if not pairs:
        return Rejected("not_tagged", f"no line with {tags[0]}")
    if cut or len(pairs[-1]) < len(tags):
        missing = tags[min(len(pairs.pop()), len(tags) - 1)]
        if not pairs:
            return Rejected(
                "unfinished" if cut else "wrong_shape", f"{missing} is missing before {out_of_place!r}"[:200]
            )
    return pairs


def _next(pairs: Sequence[Mapping[str, object]], tags: Sequence[str]) -> list[str]:
    """The valid tags of the next line."""
    if not pairs:
        return [tags[0]]
    return [tags[0], tags[-1]] if len(pairs[-1]) == len(tags) else [tags[len(pairs[-1])]]


def _lines(pair: Mapping[str, object]) -> list[str]:
    texts = [(name, text) for name, value in pair.items() for text in (value if isinstance(value, list) else [value])]
    return [f"{name.capitalize()}: {' '.join(str(text).split())}" for name, text in texts]
