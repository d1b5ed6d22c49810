"""Words and phrases that a text must not have. The English ones are files beside this one, a phrase a line."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from unicorn_hf.core.languages import ENGLISH, Pattern, base, compiled, pattern

_FOLDER = Path(__file__).parent


def rhetoric(text: str, seed: str = "", language: str = ENGLISH) -> list[str]:
    """The evaluative words and phrases in `text`, in lower case, once for each time; those of the seed may stay."""
    listed = _listed("rhetoric", language)
    found: list[str] = listed.findall(text.lower()) if listed else []
    return [phrase for phrase in found if phrase not in seed.lower()]


def unsafe(text: str, more: tuple[str, ...] = (), language: str = ENGLISH) -> str | None:
    """The first word or phrase in `text` that its language's list of unsafe content, or `more`, holds."""
    for listed in (_listed("unsafe", language), compiled(more) if more else None):
        if listed and (match := listed.search(text.lower())):
            return match.group()
    return None


@lru_cache(maxsize=256)
def _listed(kind: Literal["rhetoric", "unsafe"], language: str) -> Pattern | None:
    if base(language) != ENGLISH:
        return pattern(language, kind)
    lines = (line.strip() for line in (_FOLDER / f"{kind}.txt").read_text(encoding="utf-8").splitlines())
    return _pattern(tuple(line for line in lines if line and not line.startswith("#")))


def _pattern(entries: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words of a text in lower case (any case takes thrice the time); `*` stands for the rest of a word."""
    parts = (
        r"\s+".join(re.escape(word) for word in entry.lower().split()).replace(r"\*", r"[\w’'-]*") for entry in entries
    )
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")
