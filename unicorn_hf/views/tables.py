"""What the tables of views have in common in a terminal: they break between words and parts of names.

Text of sets is shown as text: no markup, control character or escape sequence in it reaches the terminal.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from unicorn_hf.views.pages import shown_text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

_WORD = re.compile(r"\([^)]*\)\s*|\S+\s*|\s+")
"""A bracket or a word, with the blank behind it."""
_PART = re.compile(r"[^/:_-]*[/:_-]+|[^/:_-]+")
"""A part of a name, with the separator behind it."""
_MAX_TEXT = 3_000


def plain(text: str, style: str = "", *, limit: int = _MAX_TEXT) -> "Text":
    """Text without interpretation of rich's markup and the terminal's escape sequences."""
    from rich.text import Text

    return Text(shown_text(text, limit), style)


def described(values: Mapping[str, str]) -> "Table":
    """Draw labels and their values."""
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for label, value in values.items():
        table.add_row(plain(label, "bold"), Folded(value))
    return table


class Folded:
    """A text for a cell, broken between words and brackets; a name that is wider than the cell, between its parts."""

    def __init__(self, text: str, style: str = "", *, limit: int = _MAX_TEXT) -> None:
        self._text, self._style = shown_text(text, limit), style

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        from rich.measure import Measurement

        return Measurement.get(console, options, plain(self._text))

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.cells import cell_len
        from rich.text import Text

        def is_wider(text: str) -> bool:
            return cell_len(text.rstrip()) > options.max_width

        lines = [""]
        for word in _WORD.findall(self._text):
            for part in _PART.findall(word) if is_wider(word) else [word]:
                if lines[-1] and is_wider(lines[-1] + part):
                    lines.append("")
                lines[-1] += part
        yield Text("\n".join(line.rstrip() for line in lines), self._style, overflow="fold", no_wrap=False)
