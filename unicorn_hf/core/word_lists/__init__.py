"""Words and phrases that a text must not contain. The English lists are files here, with a phrase per line."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import ENGLISH, base, compiled, finder

_FOLDER = Path(__file__).parent


def rhetoric(text: str, seed: str = "", language: str = ENGLISH) -> list[str]:
    """All evaluative words and phrases in `text`, in lower case, except those in the seed."""
    listed = _listed("rhetoric", language)
    found = listed.findall(text) if listed else []
    return [phrase for phrase in found if phrase not in seed.lower()]


def unsafe(text: str, more: tuple[str, ...] = (), language: str = ENGLISH) -> str | None:
    """The first word or phrase in `text` from its language's list of unsafe content, or from `more`."""
    for listed in (_listed("unsafe", language), compiled(more) if more else None):
        if listed and (found := listed.search(text)):
            return found.lower()
    return None


@lru_cache(maxsize=256)
def _listed(kind: Literal["rhetoric", "unsafe"], language: str) -> Finder | None:
    if base(language) != ENGLISH:
        return finder(language, kind)
    lines = (line.strip() for line in (_FOLDER / f"{kind}.txt").read_text(encoding="utf-8").splitlines())
    return Finder(_pattern(line.lower() for line in lines if line and not line.startswith("#")))


def _pattern(entries: Iterable[str]) -> re.Pattern[str]:
    """Matches whole words of a lower-case text; `*` matches the rest of a word."""
    # Group entries by first letter, so that few of them are tried at each word.
    rests: dict[str, list[str]] = {}
    for entry in entries:
        escaped = r"\s+".join(map(re.escape, entry.split())).replace(r"\*", r"[\w’'-]*")
        rests.setdefault(escaped[0], []).append(escaped[1:])
    parts = (f"{first}(?:{'|'.join(rest)})" for first, rest in rests.items())
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")
