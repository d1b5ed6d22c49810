"""A set in the terminal: its figures, some rows with their conversations, and rejections with examples.

Text of rows is shown as text: no markup, control character or escape sequence in it reaches the terminal.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from pydantic import BaseModel

from unicorn_hf.builders.original import COLUMNS
from unicorn_hf.builders.places import CONFIGS, work_dir_of
from unicorn_hf.builders.repository import STATISTICS, is_build
from unicorn_hf.builders.rows import batches, spread
from unicorn_hf.cards.formats import percent, ranked
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import REJECTIONS
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.runtime.rejections import bounds
from unicorn_hf.views.facts import facts_of
from unicorn_hf.views.tables import described, plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MAX_RAW = 400


class Rejection(BaseModel):
    """A rejected answer."""

    id: str
    reason: str
    detail: str
    subject: str
    raw: str


NO_EXAMPLES = "Examples are in the build's work folder, which is not beside this set."


class View(BaseModel):
    """The parts of a set that are shown."""

    name: str
    statistics: Statistics
    rows: dict[str, list[dict[str, Any]]]
    """By config, without vectors."""
    rejections: dict[str, list[Rejection]]
    """By stage, some of each reason; empty if there are no work files."""

    @property
    def lacks_examples(self) -> bool:
        """Whether something was rejected, and none of it is there."""
        facts = self.statistics
        return bool(facts.captions.rejected or facts.instructions.rejected) and not any(self.rejections.values())


def look(
    folder: Path, *, name: str | None = None, number: int = 3, having: str | None = None, examples: int = 2
) -> View:
    """Collect what is shown.

    Args:
        folder: a built folder; rejections come from the work files beside it.
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


def show(view: View, console: "Console", *, sought: bool = False) -> None:
    """Print what there is; `sought`: say too where no row matches."""
    from rich.rule import Rule

    def title(text: str) -> None:
        console.print(Rule(plain(text), align="left", style="cyan"))

    title(view.name)
    console.print(described(facts_of(view.statistics)))
    for config, rows in view.rows.items():
        if rows or sought:
            title(config)
        for row in rows:
            console.print(_drawn(row, conversation=config == "instruction"))
        if sought and not rows:
            console.print("no matching row")
    for stage, rejections in view.rejections.items():
        facts: Counts = getattr(view.statistics, stage)
        if facts.rejected:
            title(f"rejected {stage}: {facts.num_rejected:,} of {facts.num_candidates:,} candidates")
            for part in _reasons(stage, facts, rejections):
                console.print(part)
    if view.lacks_examples:
        console.print(f"\n{NO_EXAMPLES}", style="dim")


def _drawn(row: dict[str, Any], *, conversation: bool) -> "RenderableType":
    """Draw a row as a box; its conversation as a chat, with indented answers."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel

    parts: list[RenderableType] = [plain(row["caption"])]
    for turn in row["conversations"] if conversation else ():
        human = turn["from"] == "human"
        said = plain(turn["value"], "bold" if human else "green")
        parts.append(Padding(said, (1, 8, 0, 0) if human else (0, 0, 0, 8)))
    title = plain(" · ".join(filter(None, [row["id"], row.get("task"), row["domain"]])))
    return Panel(Group(plain(f"seed: {row['seed']}", "dim"), *parts), title=title, title_align="left")


def _reasons(stage: str, facts: Counts, rejections: Sequence[Rejection]) -> "Iterator[RenderableType]":
    """Each reason with its number and its recipe keys, and examples below it."""
    from rich.padding import Padding
    from rich.text import Text

    width = max(map(len, facts.rejected))
    for reason, number in ranked(facts.rejected):
        share = percent(number, facts.num_candidates)
        keys = bounds(stage, reason)
        told = plain(f"  keys: {keys}" if keys else "", "dim")
        yield Text.assemble(plain(f"{reason:{width}}", "bold"), f"  {number:,} ({share})", told)
        for one in (one for one in rejections if one.reason == reason):
            of = " · ".join(filter(None, [one.detail, one.subject]))
            yield Padding(plain(of, "dim"), (0, 0, 0, 2))
            yield Padding(plain(one.raw or "(an empty answer)", limit=_MAX_RAW), (0, 0, 1, 4))
