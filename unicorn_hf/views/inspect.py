"""A set in the terminal: its figures, some rows with their conversations, and rejections with examples.

Text of rows is shown as text: no markup, control character or escape sequence in it reaches the terminal.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from pydantic import BaseModel

from unicorn_hf.builders.original import COLUMNS
from unicorn_hf.builders.places import CONFIGS, work_dir_of
from unicorn_hf.builders.repository import STATISTICS, is_build
from unicorn_hf.builders.rows import batches, spread
from unicorn_hf.cards.formats import ranked
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import REJECTIONS
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.views.facts import facts_of
from unicorn_hf.views.pages import shown_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_MAX_RAW = 400
_MAX_TEXT = 3_000


class Rejection(BaseModel):
    """A rejected answer."""

    id: str
    reason: str
    detail: str
    subject: str
    raw: str


class View(BaseModel):
    """The parts of a set that are shown."""

    name: str
    statistics: Statistics
    rows: dict[str, list[dict[str, Any]]]
    """By config, without vectors."""
    rejections: dict[str, list[Rejection]]
    """By stage, some of each reason; empty if there are no work files."""


def look(
    folder: Path, *, name: str | None = None, number: int = 3, having: str | None = None, examples: int = 2
) -> View:
    """Collect what is shown.

    Args:
        folder: a published folder; rejections come from the work files beside it.
        name: the set's name; by default the folder.
        number: rows of each config, evenly spaced.
        having: show the first rows with this text in caption, seed or conversation instead.
        examples: rejections of each reason.

    Raises:
        InputError: `folder` is not a build, or cannot be read.
    """
    if not is_build(folder):
        raise InputError(f"{folder} is not a folder that unicorn-hf built", f"It has no {STATISTICS}.")
    return View(
        name=name or str(folder),
        statistics=read_statistics(folder / STATISTICS),
        rows={config: _rows(folder, config, number, having) for config in CONFIGS},
        rejections={
            stage: list(_rejections(work_dir_of(folder), stage, examples)) for stage in ("captions", "instructions")
        },
    )


def _rows(folder: Path, config: str, number: int, having: str | None) -> list[dict[str, Any]]:
    columns = list(COLUMNS[config])
    if not having:
        rows: list[dict[str, Any]] = spread(folder, config, columns, number).to_pylist()
        return rows
    all_rows = (row for batch in batches(folder, config, columns) for row in batch.to_pylist())
    wanted = having.casefold()
    return list(islice((row for row in all_rows if wanted in _text_of(row).casefold()), number))


def _text_of(row: dict[str, Any]) -> str:
    return "\n".join([row["caption"], row["seed"], *(turn["value"] for turn in row["conversations"])])


def _rejections(work_dir: Path, stage: str, number: int) -> Iterator[Rejection]:
    """The first of each reason, from the last run of the stage."""
    steps = sorted(work_dir.glob(f"{stage}-*"), key=lambda step: step.stat().st_mtime)
    seen: dict[str, int] = {}
    for path in sorted(steps[-1].glob("*.rejections.parquet")) if steps else []:
        for row in pq.read_table(path, schema=REJECTIONS).to_pylist():
            seen[row["reason"]] = seen.get(row["reason"], 0) + 1
            if seen[row["reason"]] <= number:
                yield Rejection(**{field: row[field] for field in Rejection.model_fields})


def show(view: View, console: "Console") -> None:
    from rich.rule import Rule

    console.print(Rule(_plain(view.name), align="left", style="cyan"))
    console.print(described(facts_of(view.statistics)))
    for config, rows in view.rows.items():
        console.print(Rule(config, align="left", style="cyan"))
        for row in rows:
            console.print(_drawn(row, conversation=config == "instruction"))
        if not rows:
            console.print("no matching row")
    for stage, rejections in view.rejections.items():
        facts: Counts = getattr(view.statistics, stage)
        if facts.rejected:
            console.print(Rule(f"rejected {stage}", align="left", style="cyan"))
            console.print(_reasons(facts, rejections))


def described(values: Mapping[str, str]) -> "Table":
    """Draw labels and their values."""
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for label, value in values.items():
        table.add_row(_plain(label, "bold"), _plain(value))
    return table


def _drawn(row: dict[str, Any], *, conversation: bool) -> "RenderableType":
    """Draw a row as a box; its conversation as a chat, with indented answers."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel

    parts: list[RenderableType] = [_plain(row["caption"])]
    for turn in row["conversations"] if conversation else ():
        human = turn["from"] == "human"
        said = _plain(turn["value"], "bold" if human else "green")
        parts.append(Padding(said, (1, 8, 0, 0) if human else (0, 0, 0, 8)))
    title = _plain(" · ".join(filter(None, [row["id"], row.get("task"), row["domain"]])))
    return Panel(Group(*parts), title=title, title_align="left", subtitle=_plain(row["seed"]), subtitle_align="left")


def _reasons(facts: Counts, rejections: Sequence[Rejection]) -> "Table":
    from rich.table import Table

    table = Table("reason", "number", "for example", "why", "of", expand=True)
    table.columns[1].justify = "right"
    for reason, number in ranked(facts.rejected):
        examples = [[one.raw, one.detail, one.subject] for one in rejections if one.reason == reason]
        for place, texts in enumerate(examples or [["—"]]):
            first = (_plain(reason), f"{number:,}") if place == 0 else ("", "")
            table.add_row(*first, *(_plain(text, limit=_MAX_RAW) for text in texts))
    return table


def _plain(text: str, style: str = "", *, limit: int = _MAX_TEXT) -> "Text":
    """Text without interpretation of rich's markup and the terminal's escape sequences."""
    from rich.text import Text

    return Text(shown_text(text, limit), style)
