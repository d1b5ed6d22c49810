"""The progress display of a build: live in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from unicorn_hf.core.units import duration
from unicorn_hf.core.visible import visible_lines

if TYPE_CHECKING:
    from rich.progress import Task


class Progress:
    """Receives progress from the pipeline, in threads of the client. This one, the library's default, shows nothing."""

    def start(self, stage: str, total: int, unit: str = "rows") -> None:
        """A stage begins; it is to make `total` rows or other units."""

    def working(self, rows: int) -> None:
        """Workers have processed `rows` more rows, not yet known to be kept."""

    def known(self, kept: int, rejected: int) -> None:
        """The stage's totals so far, over all partitions."""

    def note(self, message: str) -> None:
        """Show a message on its own line."""

    def finish(self) -> None:
        """The stage has ended."""

    def counter(self) -> Callable[[int], None]:
        """A function that adds rows to those that the stage has made."""
        done = 0

        def add(rows: int) -> None:
            nonlocal done
            done += rows
            self.known(done, 0)

        return add


class _Counting(Progress):
    """Keeps the figures of the current stage."""

    def start(self, stage: str, total: int, unit: str = "rows") -> None:
        self._stage, self._total, self._unit = stage, total, unit
        self._rows = self._kept = self._rejected = 0
        self._started = time.monotonic()

    def working(self, rows: int) -> None:
        self._rows += rows

    def known(self, kept: int, rejected: int) -> None:
        self._kept, self._rejected = kept, rejected


class PlainProgress(_Counting):
    """Prints a line when a stage begins and ends, and one every ten seconds between."""

    _EVERY_S = 10.0

    def start(self, stage: str, total: int, unit: str = "rows") -> None:
        super().start(stage, total, unit)
        self._shown = self._started
        self.note(f"{stage}: 0 of {total:,} {unit}")

    def working(self, rows: int) -> None:
        super().working(rows)
        self._tell()

    def known(self, kept: int, rejected: int) -> None:
        super().known(kept, rejected)
        if kept < self._total:  # `finish` tells the last one.
            self._tell()

    def _tell(self) -> None:
        if time.monotonic() - self._shown > self._EVERY_S:
            self._shown = time.monotonic()
            processed = f", {self._rows:,} processed" if self._rows else ""
            self.note(f"{self._stage}: {self._figures()}{processed}")

    def note(self, message: str) -> None:
        sys.stderr.write(visible_lines(message) + "\n")
        sys.stderr.flush()

    def finish(self) -> None:
        self.note(f"{self._stage}: {self._figures()}, {duration(time.monotonic() - self._started)}")

    def _figures(self) -> str:
        rejected = f", {self._rejected:,} rejected" if self._rejected else ""
        return f"{min(self._kept, self._total):,} of {self._total:,} {self._unit}{rejected}"


class LiveProgress(_Counting):
    """One bar per stage (rich): rows, rate, rejected, time left. Where the terminal is narrow, the bar is."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, SpinnerColumn
        from rich.progress import Progress as Bars
        from rich.table import Column
        from rich.text import Text

        class Clock(ProgressColumn):
            """The time left while it is known, else the time taken."""

            max_refresh = 0.5  # The time left would flicker.

            def render(self, task: "Task") -> Text:
                left = None if task.finished else task.time_remaining
                told, seconds = ("", task.elapsed) if left is None else ("left ", left)
                return Text(f"{told}{timedelta(seconds=int(seconds or 0))}")

        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            "[bold]{task.description:<16}",
            BarColumn(bar_width=30),
            "{task.completed:>7,.0f}/{task.total:,.0f}",
            "[cyan]{task.fields[rate]}",
            "[yellow]{task.fields[rejected]}",
            Clock(Column(no_wrap=True)),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def start(self, stage: str, total: int, unit: str = "rows") -> None:
        super().start(stage, total, unit)
        self._task = self._bars.add_task(stage, total=total, rate="", rejected="")

    def working(self, rows: int) -> None:
        super().working(rows)
        self._show(self._rows)

    def known(self, kept: int, rejected: int) -> None:
        super().known(kept, rejected)
        self._show(max(kept, self._rows - rejected))

    def note(self, message: str) -> None:
        self._bars.console.print(visible_lines(message), highlight=False, markup=False)

    def finish(self) -> None:
        # The total of some stages is a limit, which they do not reach.
        self._total = min(self._kept or self._total, self._total)
        self._bars.update(self._task, total=self._total)
        self._show(self._total)
        self._bars.stop_task(self._task)

    def _show(self, completed: int) -> None:
        seconds = time.monotonic() - self._started
        rate = self._rows / seconds if seconds else 0.0
        self._bars.update(
            self._task,
            completed=min(completed, self._total),
            rate=f"{rate:,.{0 if rate >= 100 else 1}f}/s" if rate else "",
            rejected=f"{self._rejected:,} rejected" if self._rejected else "",
        )
