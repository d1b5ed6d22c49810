"""Word lists: words and phrases that a text must not have, one a line in files beside this one."""

import re
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent


def rhetoric(text: str, seed: str = "") -> list[str]:
    """The evaluative words and phrases in `text`, in lower case, once for each time; those of the seed may stay."""
    found: list[str] = _listed("rhetoric.txt").findall(text.lower())
    return [phrase for phrase in found if phrase not in seed.lower()]


def unsafe(text: str, more: tuple[str, ...] = ()) -> str | None:
    """The first word or phrase in `text` that the list of unsafe content, or `more`, holds."""
    for pattern in (_listed("unsafe.txt"), *([_pattern(more)] if more else [])):
        if match := pattern.search(text.lower()):
            return match.group()
    return None


@lru_cache(maxsize=2)
def _listed(name: str) -> re.Pattern[str]:
    lines = (line.strip() for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines())
    return _pattern(tuple(line for line in lines if line and not line.startswith("#")))


@lru_cache(maxsize=8)
def _pattern(entries: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words of a text in lower case (any case takes thrice the time); `*` stands for the rest of a word."""
    parts = (
        r"\s+".join(re.escape(word) for word in entry.lower().split()).replace(r"\*", r"[\w’'-]*") for entry in entries
    )
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")
