"""The progress of a build, read from its work folder and the stored answers on any machine that sees them."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.units import counted, duration
from unicorn_hf.core.visible import visible
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.batches import BatchEntry, batches_in
from unicorn_hf.runtime.journal import STATE, BuildState, interval_s
from unicorn_hf.runtime.storage import is_remote, place
from unicorn_hf.views.tables import Folded

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_SILENT_S = 30
"""A running build writes its state every two seconds; after this silence, it is lost."""


class Status(BaseModel):
    """A build's state, and figures derived from it."""

    build: BuildState
    batches: list[BatchEntry] = []
    """Batches of the engine `batch`, as the last run saw them."""
    is_alive: bool
    silent_s: float
    """Time since the build last wrote its state, by this machine's clock."""
    rows_per_s: float = 0.0
    """Rate of the current stage."""
    num_answers: int | None = None
    """Stored answers of the build's engine; None if the build uses no engine."""
    left_s: float | None = None
    """Time until the current stage ends at this rate; None if unknown."""


def status(folder: str | Path) -> Status:
    """
    Args:
        folder: the built folder of a build, which need not exist yet, or the work folder.

    Raises:
        InputError: no build has run there.
    """
    folder = place(folder).expanduser().absolute()
    places = [folder / STATE] if is_remote(folder) else [folder / STATE, work_dir_of(folder) / STATE]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        rights = " Check that it can be read from here." if is_remote(folder) else ""
        raise InputError(
            f"no build has run in {folder}: there is no {' and no '.join(map(str, places))}",
            f"Name the folder of --out or --work-dir.{rights}",
        )
    build = _read(path)
    ago = (datetime.now(UTC) - build.updated).total_seconds()
    is_alive = build.state == "running" and (abs(ago) < _SILENT_S or _is_written(path, build))
    stored = AnswerStore(place(build.answers)).count() if build.answers else None
    found = Status(
        build=build,
        batches=batches_in(path.parent),
        is_alive=is_alive,
        silent_s=max(0.0, ago),
        num_answers=stored,
    )
    stage = build.stages[-1]
    if found.is_alive and not stage.finished and stage.seconds:
        done = max(stage.kept, stage.worked - stage.rejected)
        found.rows_per_s = done / stage.seconds
        found.left_s = max(0, stage.total - done) / found.rows_per_s if done else None
    return found


def _read(path: Path) -> BuildState:
    try:
        return BuildState.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is from another version, or damaged", "The next build replaces it.") from error


def _is_written(path: Path, build: BuildState) -> bool:
    """Whether the state changes within some seconds: clocks of two machines may differ, and any clock may jump."""
    started, every_s = time.monotonic(), interval_s(path)
    while time.monotonic() - started < 3 * every_s:
        time.sleep(every_s / 4)
        if _read(path).updated != build.updated:
            return True
    return False


def show(found: Status, console: "Console") -> None:
    console.print(drawn(found), highlight=False)


def watch(folder: str | Path) -> None:
    """Show the state and update it until the build ends.

    Raises:
        InputError: see `status`.
    """
    from rich.live import Live

    found = status(folder)
    with Live(drawn(found), auto_refresh=False) as live:
        while found.is_alive:
            time.sleep(interval_s(place(folder)))
            found = status(folder)
            live.update(drawn(found), refresh=True)


def drawn(found: Status) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("stage", "done", "of", "rejected", "time", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in found.build.stages:
        done, total = f"{min(stage.kept, stage.total):,}", f"{stage.total:,} {stage.unit}"
        table.add_row(visible(stage.name), done, total, f"{stage.rejected:,}", duration(stage.seconds))
    batches = [Text(), _batches(found.batches)] if found.batches else []
    return Group(*(Text(line) for line in _lines(found)), table, *batches)


def _batches(batches: Sequence[BatchEntry]) -> "RenderableType":
    from rich.table import Table

    table = Table("batch", "state", "answered", "of", "sent", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.no_wrap, column.justify = True, "right"
    for entry in batches:
        state = visible(entry.told) if entry.state == "running" and entry.told else entry.state
        done = entry.num_completed if entry.is_open else entry.num_answered
        sent = f"{entry.created.astimezone():%d %b %H:%M}" if entry.created else ""
        table.add_row(Folded(entry.batch or entry.name), state, f"{done:,}", f"{entry.num_requests:,}", sent)
    return table


def _lines(found: Status) -> Iterator[str]:
    build = found.build
    yield f"{visible(build.recipe)}, in {visible(build.out)}"
    if found.is_alive:
        workers = f", {counted(build.workers, 'worker')}" if build.workers else ""
        yield f"running on {visible(build.host)} (process {build.pid}){workers}"
        if found.rows_per_s:
            left = f", about {duration(found.left_s)} left in this stage" if found.left_s is not None else ""
            yield f"{found.rows_per_s:,.1f} rows/s{left}"
        if build.dashboard:
            yield f"dashboard: {visible(build.dashboard)}"
    elif build.state == "waiting":
        yield f"waits for batches since {build.updated.astimezone():%Y-%m-%d %H:%M:%S}: run the same command to collect"
    elif build.state == "running":
        how_long = f" for {duration(found.silent_s)}" if found.silent_s else ""
        yield f"lost: silent{how_long}; run the same command to resume"
    else:
        yield f"{build.state} at {build.updated.astimezone():%Y-%m-%d %H:%M:%S}"
        if build.error:
            yield f"error: {visible(build.error)}"
    if found.num_answers is not None:
        num_found = sum(stage.num_found for stage in build.stages)
        num_asked = sum(stage.num_asked for stage in build.stages)
        yield f"answers: {found.num_answers:,} stored; this run found {num_found:,} and requested {num_asked:,}"
