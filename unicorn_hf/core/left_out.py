"""Rows that readers skip: counted by reason with the first example, printed and published."""

from collections import Counter
from collections.abc import Callable, Sequence

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.figures import Figures

_MAX_EXAMPLE = 120
_MOST_CHARS = 1000
_MOST_LINES = 10
NAME_ANOTHER = "Name a file with at least one text."
_MAX_KINDS = 100
"""A bound, because objects may have as many different keys as there are rows."""


class LeftOut(Figures):
    """Rows, or parts of rows, skipped for one reason."""

    what: str
    """A plural: `rows`, `samples`, `turns`, `values of 'url'`."""
    reason: str
    num: int
    example: str
    """The place and the beginning of the first one."""
    advice: str = ""

    def __str__(self) -> str:
        advice = f". {self.advice}" if self.advice else ""
        reason = self.reason.replace("_", " ")
        return f"skipped {self.what}: {self.num:,}, {reason} (first: {self.example}){advice}"


def nothing_kept(told: str, left_out: Sequence[LeftOut]) -> InputError:
    """The error of files of which nothing is kept: `told`, how much was skipped, and each kind with its example."""
    counts = ", ".join(f"{each.num:,} {each.reason}" for each in left_out if each.reason != "not_read")
    advice = "\n".join(map(str, left_out[:_MOST_LINES])) or NAME_ANOTHER
    return InputError(f"{told}: {counts or 'the files are empty'}", advice)


class ReadingNotes:
    """Collects notes on how files were read and what was skipped, in bounded memory."""

    def __init__(self) -> None:
        self.took: list[str] = []
        """A line per file: `captions.csv: separator ';', column caption, encoding UTF-8`."""
        self.place: Callable[[], str] | None = None
        """The place in a file of the seed that was read last; None if its source is no file."""
        self._nums = Counter[tuple[str, str]]()
        self._firsts: dict[tuple[str, str], tuple[str, str]] = {}

    def take(self, line: str) -> None:
        if (line := _plain(line)) not in self.took:
            self.took.append(line)

    def leave(
        self,
        what: str,
        reason: str,
        place: str | Callable[[], str],
        value: object = None,
        *,
        num: int = 1,
        advice: str = "",
    ) -> None:
        """Count something that is skipped; the first of its kind is the example."""
        kind = (what, reason)
        if kind not in self._nums:
            if len(self._nums) >= _MAX_KINDS:
                kind = ("other parts", reason)
            where = _plain(place if isinstance(place, str) else place())
            self._firsts.setdefault(kind, (where if value is None else f"{where}: {_short(value)}", advice))
        self._nums[kind] += num

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        return tuple(
            LeftOut(what=what, reason=reason, num=self._nums[what, reason], example=example, advice=advice)
            for (what, reason), (example, advice) in self._firsts.items()
        )


def _short(value: object) -> str:
    text = _plain(str(value))
    return repr(text if len(text) <= _MAX_EXAMPLE else f"{text[: _MAX_EXAMPLE - 1]}…")


def _plain(text: str) -> str:
    """The text as one line, shortened, without control characters."""
    return "".join(char if char.isprintable() else "�" for char in " ".join(text[:_MOST_CHARS].split()))
