"""Untrusted text (seeds, models, recipes) inside Markdown: it is shown as text, whatever it contains.

There are two ways, both tested against a real Markdown parser. A row's text goes into a fenced block, where no renderer
interprets markup or links. A name or a short note goes into a line, with every special character as a numeric
character reference, which Markdown never interprets. Some renderers still link bare URLs in a recipe's title or note,
but not in rows.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterable

from unicorn_hf.core.visible import visible
from unicorn_hf.core.words import num_words

WIDTH = 100
"""Columns of a block, and the length of the longest word that it shows whole."""
_LINE_ENDS = re.compile(r"\r\n?")
_BACKTICKS = re.compile(r"`+")
_LONG_WORD = re.compile(rf"\S{{{WIDTH + 1},}}")
_LIST_NUMBER = re.compile(r"^(\d+)([.)])")
_MARKUP = frozenset("\\`*_{}[]<>#|~$!&@^:\"'=+%")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def as_text(value: str, limit: int = 300) -> str:
    """Return one line of Markdown that shows `value` as text, cut at `limit` characters."""
    line = visible(shortened(" ".join(value.split()), limit))
    escaped = "".join(_reference(character) if character in _MARKUP else character for character in line)
    # A line may start a list or a rule, and `www.` a link.
    if escaped[:1] in _PUNCTUATION and not escaped.startswith("&#"):
        escaped = _reference(escaped[0]) + escaped[1:]
    escaped = _LIST_NUMBER.sub(lambda match: match[1] + _reference(match[2]), escaped)
    return re.sub(r"(?i)(?<=www)\.", _reference("."), escaped)


def as_block(lines: Iterable[str], language: str = "text") -> str:
    """Return a fenced block of these lines; the fence is longer than any run of backticks in them."""
    content = "\n".join(visible(line).rstrip() for line in lines)
    longest = max((len(run) for run in _BACKTICKS.findall(content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content}\n{fence}"


def labelled(label: str, value: str, *, label_width: int, limit: int) -> list[str]:
    """Return lines for a block: the label, and beside it the value's lines, wrapped; long words are cut."""
    short = _LONG_WORD.sub(lambda match: _cut(match[0]), shortened(value, limit))
    width = WIDTH - label_width
    wrapped: list[str] = []
    for line in _LINE_ENDS.sub("\n", short).split("\n"):
        wrapped += textwrap.wrap(visible(line.expandtabs(4)), _fitting(line, width), break_on_hyphens=False) or [""]
    return [f"{label if number == 0 else '':{label_width}}{line}".rstrip() for number, line in enumerate(wrapped)]


def _cut(word: str) -> str:
    """Cut a long word, but not a sentence of a script without spaces, which only looks like one."""
    return word if num_words(word) > 1 and not word.isascii() else shortened(word, WIDTH)


def _fitting(line: str, width: int) -> int:
    """The number of the line's characters that fit into `width` columns; Chinese, Japanese and Korean ones take two."""
    num_wide = sum(unicodedata.east_asian_width(character) in "WF" for character in line)
    return max(width * len(line) // (len(line) + num_wide), 1) if num_wide else width


def shortened(text: str, limit: int) -> str:
    """Return `text` up to `limit` characters, with its length if it was cut."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters in total)"


def _reference(character: str) -> str:
    return f"&#{ord(character)};"
