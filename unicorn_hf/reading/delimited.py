"""Reads text tables: detects separator and quoting, yields rows with the number of their first line.

The header decides the separator. Rows of prose are full of commas and semicolons, and mislead other sniffers
(docs/decisions/0026).
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, dropwhile, islice
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.reading.text import MAX_CHARS, Text

SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_LINES = 200
_SEP_LINE = re.compile(r'"?sep=(?P<separator>.)"?\r?\n?', re.IGNORECASE)
"""The first line of Excel files whose separator is not the locale's."""
csv.field_size_limit(MAX_CHARS)


@dataclass(frozen=True)
class Dialect:
    separator: str
    quote: str | None = '"'
    """None without quoting."""
    escape: str | None = None
    """The escape character of a quotation mark in a quoted field; None if it is doubled."""
    space: bool = False
    """Whether a space follows each separator."""

    def reader(self, lines: Iterator[str]) -> Any:
        return csv.reader(
            lines,
            delimiter=self.separator,
            quotechar=self.quote,
            quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            escapechar=self.escape,
            doublequote=self.escape is None,
            skipinitialspace=self.space,
            strict=True,
        )

    def __str__(self) -> str:
        separator = "tab" if self.separator == "\t" else repr(self.separator)
        quote = f", quotation mark {self.quote}" if self.quote == "'" else ""
        return f"separator {separator}{quote}"


class Table:
    """A table's header and rows.

    A .tsv has no quoting, unless its separator is not a tab, or its first lines show it.
    """

    def __init__(self, text: Text, *, tabs: bool) -> None:
        """Raise an `InputError` if its first lines cannot be read."""
        self._name = text.name
        numbered = dropwhile(lambda numbered: not numbered[1].strip(), text.lines())
        start, first_line = next(numbered, (1, ""))
        named = _SEP_LINE.fullmatch(first_line)
        told = named["separator"] if named else None
        self._skipped = start if named else start - 1
        lines = (line for _, line in numbered)
        sample = [*([] if named else [first_line]), *islice(lines, _SAMPLE_LINES)]
        self.dialect = _dialect(sample, tabs=tabs, told=told)
        self._rows = self.dialect.reader(chain(sample, lines))
        first = self._next() or ()
        self.header_line = self._skipped + 1
        self.header: Sequence[str] = [name.strip() for name in first]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Rows with the number of their first line; a blank line is an empty list.

        Raises:
            InputError: a row has more fields than the header, or an unclosed quotation mark.
        """
        width = len(self.header)
        while True:
            start = self._line + 1
            row = self._next()
            if row is None:
                return
            if len(row) > width and any(row[width:]):
                raise InputError(
                    f"{self._name}, line {start}: {len(row)} fields, but the header has {width}", self._advice
                )
            yield start, row

    @property
    def _line(self) -> int:
        return self._skipped + int(self._rows.line_num)

    @property
    def _advice(self) -> str:
        if self.dialect.quote is None:
            return ""
        name = {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(self.dialect.separator, "the separator")
        header = f"If line {self.header_line} is not the header, remove it; if it lacks a name, add it."
        return f"Put a text that contains {name} in quotation marks. {header}"

    def _next(self) -> list[str] | None:
        start = self._line + 1
        try:
            row: list[str] | None = next(self._rows, None)
            return row
        except csv.Error as error:
            raise InputError(
                f"{self._name}, in the row that begins in line {start}: {error}",
                'End a quoted field with a quotation mark, and double each mark inside it: "a ""big"" dog".',
            ) from error


def _dialect(sample: Sequence[str], *, tabs: bool, told: str | None) -> Dialect:
    usual = "\t" if tabs else ","
    candidates = [told] if told else sorted(SEPARATORS, key=lambda one: one != usual)
    views = [view for one in candidates if (view := _View.of(Dialect(one), sample)).width > 1 or told]
    # Of several separators in the header, take the one with which most rows have the header's width.
    best = max(views, key=lambda view: view.fit, default=_View.of(Dialect(usual), sample))
    if best.dialect.separator == "\t" and tabs:
        plain = replace(best.dialect, quote=None)
        fields = (field for line in sample for field in line.rstrip("\r\n").split("\t"))
        is_quoted = any(map(_is_doubled, fields)) or best.fit > _View.of(plain, sample).fit
        return best.dialect if is_quoted else plain
    return _quoting(best, sample)


def _is_doubled(field: str) -> bool:
    """Whether a field is quoted and contains a quotation mark, doubled."""
    inner = field[1:-1]
    return field == f'"{inner}"' and '""' in inner and '"' not in inner.replace('""', "")


def _quoting(plain: "_View", sample: Sequence[str]) -> Dialect:
    header, *rows = plain.rows or [[]]
    spaced = replace(plain.dialect, space=len(header) > 1 and all(name.startswith(" ") for name in header[1:]))
    fit = _View.of(spaced, sample).fit
    escaped, single = replace(spaced, escape="\\"), replace(spaced, quote="'")
    if any('\\"' in line for line in sample) and _View.of(escaped, sample).fit > fit:
        return escaped
    begins_single = any(all(field.startswith("'") for field in column) for column in zip(*rows, strict=False))
    return single if begins_single and _View.of(single, sample).fit >= fit else spaced


@dataclass(frozen=True)
class _View:
    """A sample's rows in a dialect, without blank ones."""

    dialect: Dialect
    rows: Sequence[list[str]]
    readable: float
    """Share of the sample's lines before the first unreadable one; the last may be cut."""

    @classmethod
    def of(cls, dialect: Dialect, sample: Sequence[str]) -> "_View":
        reader = dialect.reader(iter(sample))
        rows: list[list[str]] = []
        with suppress(csv.Error):
            rows.extend(row for row in reader if row)
        return cls(dialect, rows, reader.line_num / max(1, len(sample)))

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0

    @property
    def fit(self) -> float:
        """Share of the rows that are readable and have the header's width."""
        return self.readable * sum(len(row) == self.width for row in self.rows) / max(1, len(self.rows))
