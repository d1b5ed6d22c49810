"""The report of a set's problems, for people and for programs."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from pydantic import BaseModel

FIRST = 10
"""Problems of each kind to list; the others are counted."""


class Problem(BaseModel, frozen=True):
    """One problem. `row` counts from 0 within the file."""

    file: str
    row: int | None
    field: str | None
    message: str

    def __str__(self) -> str:
        place = [self.file]
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.field is not None:
            place.append(self.field)
        return f"{', '.join(place)}: {self.message}"


class Kind(BaseModel, frozen=True):
    """The number of problems of one kind, and the first of them."""

    kind: str
    num: int
    first: tuple[Problem, ...]


_INCOMPLETE = {"missing_file", "unreadable"}
"""Kinds of problems of a set that was not completely downloaded or copied."""


class Report(BaseModel, frozen=True):
    """A set's problems. The set is valid if there are none."""

    data_set: str
    valid: bool
    num_rows: dict[str, int]
    """Rows read, by config."""
    num_problems: int
    problems: tuple[Kind, ...]

    def lines(self) -> Iterator[str]:
        rows = " and ".join(f"{number:,} rows of {config}" for config, number in self.num_rows.items())
        for kind in self.problems:
            yield f"{kind.kind}: {kind.num:,}"
            yield from (f"  {problem}" for problem in kind.first)
            if kind.num > len(kind.first):
                yield f"  … and {kind.num - len(kind.first):,} more"
        if self.valid:
            yield f"{self.data_set} is valid: read {rows}."
        else:
            yield f"{self.data_set} is not valid: {self.num_problems:,} problems in {rows}."
        if _INCOMPLETE & {kind.kind for kind in self.problems}:
            yield "Files are missing or damaged; get them: hf download ORG/NAME --repo-type dataset --local-dir DIR"


class Findings:
    """Collects problems in bounded memory."""

    def __init__(self, first: int = FIRST) -> None:
        self._limit = first
        self._num: Counter[str] = Counter()
        self._first: defaultdict[str, list[Problem]] = defaultdict(list)

    def add(self, kind: str, file: str, message: str, *, row: int | None = None, field: str | None = None) -> None:
        self._num[kind] += 1
        if len(self._first[kind]) < self._limit:
            self._first[kind].append(Problem(file=file, row=row, field=field, message=message))

    def report(self, data_set: str, num_rows: dict[str, int]) -> Report:
        kinds = tuple(Kind(kind=kind, num=num, first=tuple(self._first[kind])) for kind, num in self._num.items())
        return Report(
            data_set=data_set,
            valid=not kinds,
            num_rows=num_rows,
            num_problems=self._num.total(),
            problems=kinds,
        )


def quoted(value: object) -> str:
    """Format an untrusted value for a message: short, one line, ASCII only."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
