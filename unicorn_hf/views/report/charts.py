"""The page's charts from the statistics: tables with a bar for each count, and histograms drawn by Bokeh.

Names go into the page, text glyphs and hover fields, never into titles, axes or legends, where Bokeh interprets TeX.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unicorn_hf.builders.figures import Bin
from unicorn_hf.cards.formats import ranked
from unicorn_hf.cards.statistics import Statistics

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with the name of a function

FIRST, SECOND = "#4c6ef5", "#f59f00"
_INK = "#5b6472"
_MAX_TICKS = 12
_MAX_TABLE = 200


@dataclass(frozen=True)
class Bars:
    """A table with a bar for each count."""

    title: str
    subtitle: str
    of: str
    """What the rows are."""
    series: Mapping[str, Mapping[str, int]]
    whole: int | None = None
    """What the shares are of; by default the sum of a series."""

    def rows(self) -> Iterator[tuple[str, list[tuple[int, int, float]]]]:
        """Each name, the largest counts first, with its count, whole and length of the bar (0 to 100) by series."""
        names = list(dict.fromkeys(name for counts in self.series.values() for name, _ in ranked(counts)))
        wholes = [self.whole or sum(counts.values()) or 1 for counts in self.series.values()]
        found = [[counts.get(name, 0) for counts in self.series.values()] for name in names[:_MAX_TABLE]]
        longest = max((num / of for row in found for num, of in zip(row, wholes, strict=True)), default=0) or 1
        for name, row in zip(names, found, strict=False):
            yield name, [(num, of, round(100 * num / of / longest, 1)) for num, of in zip(row, wholes, strict=True)]


@dataclass(frozen=True)
class Chart:
    """A histogram and its table."""

    key: str
    title: str
    subtitle: str
    head: tuple[str, ...]
    table: Sequence[tuple[str, ...]]
    """Label and figures of each column, in the order of `head`."""
    figure: "Figure"


def rejection_charts(facts: Statistics) -> dict[str, Bars]:
    """A table for each stage with rejections."""
    stages = {"captions": ("captions", facts.captions), "instructions": ("conversations", facts.instructions)}
    return {
        stage: Bars(
            f"Rejected {what}",
            f"{of.num_rejected:,} of {of.num_candidates:,} candidates were rejected",
            "reason",
            {"rejected": of.rejected},
            of.num_candidates,
        )
        for stage, (what, of) in stages.items()
        if of.rejected
    }


def charts_of(facts: Statistics) -> Iterator[Bars | Chart]:
    """The charts, without empty ones."""
    rows, conversations = facts.pretrain.num_rows, facts.instruction.num_rows
    yield _columns(
        "caption-lengths",
        "Caption lengths",
        f"{rows:,} captions by number of words; the line is the median, {facts.caption_words.median:,}",
        ("words", "captions"),
        facts.caption_words.histogram,
        facts.caption_words.median,
    )
    if facts.instruction.per_task:
        tasks = {name.replace("_", " "): value for name, value in facts.instruction.per_task.items()}
        yield Bars("Tasks", f"{conversations:,} conversations", "task", {"conversations": tasks})
    yield Bars(
        "Domains",
        "rows of pretrain (blue) and of instruction (amber), as shares of each",
        "domain",
        {"pretrain": facts.pretrain.per_domain, "instruction": facts.instruction.per_domain},
    )
    if facts.instruction.question_words:
        words = facts.instruction.question_words
        subtitle = f"{sum(words.values()):,} questions of the conversations"
        yield Bars("First words of questions", subtitle, "word", {"questions": words})
    if turns := facts.instruction.turns:
        bins = [Bin(first=pairs, last=pairs, num=turns.get(pairs, 0)) for pairs in range(min(turns), max(turns) + 1)]
        yield _columns(
            "turns",
            "Length of conversations",
            f"{conversations:,} conversations by pairs of a question and an answer",
            ("pairs", "conversations"),
            bins,
        )
    if letters := facts.instruction.answer_letters:
        subtitle = f"{sum(letters.values()):,} multiple-choice questions, by the letter of the correct option"
        yield Bars("Correct options", subtitle, "letter", {"questions": letters})


def _columns(
    key: str, title: str, subtitle: str, head: tuple[str, str], bins: Sequence[Bin], median: int | None = None
) -> Chart:
    """Draw columns over an integer axis."""
    from bokeh.models import FixedTicker, NumeralTickFormatter, Span

    figure = empty_figure(height=260)
    labels = [f"{one.first:,}" if one.first == one.last else f"{one.first:,} to {one.last:,}" for one in bins]
    columns = figure.quad(
        left="left", right="right", top="top", bottom=0, color=FIRST, line_color=None,
        source=source(
            left=[one.first - 0.5 + 0.04 * (one.last - one.first + 1) for one in bins],
            right=[one.last + 0.5 - 0.04 * (one.last - one.first + 1) for one in bins],
            top=[one.num for one in bins],
            num=[f"{one.num:,}" for one in bins],
            label=labels,
        ),
    )  # fmt: skip
    figure.add_tools(hover([(head[0], "@label"), (head[1], "@num")], columns))
    if median is not None:
        figure.add_layout(Span(location=median, dimension="height", line_color=_INK, line_dash="dashed"))
    figure.x_range.update(start=bins[0].first - 0.5, end=bins[-1].last + 0.5)
    figure.y_range.update(start=0, end=(max(one.num for one in bins) or 1) * 1.05)
    figure.xaxis.axis_label, figure.yaxis.axis_label = head
    figure.xgrid.visible = False
    for axis in (figure.xaxis, figure.yaxis):
        axis.formatter = NumeralTickFormatter(format="0,0")
    if len(bins) <= _MAX_TICKS and all(one.first == one.last for one in bins):
        figure.xaxis.ticker = FixedTicker(ticks=[one.first for one in bins])
    table = [(label, f"{one.num:,}") for label, one in zip(labels, bins, strict=True)]
    return Chart(key, title, subtitle, head, table, figure)


def empty_figure(height: int, **options: object) -> "Figure":
    """Create an empty figure with full width; the page's script sets the colours of the reader's scheme."""
    from bokeh.plotting import figure

    drawn = figure(
        height=height, sizing_mode="stretch_width", min_border=0,
        background_fill_color=None, border_fill_color=None, outline_line_color=None,
        **{"toolbar_location": None, "tools": "", **options},
    )  # fmt: skip
    for axis in (drawn.xaxis, drawn.yaxis):
        axis.update(
            axis_line_color=None, major_tick_line_color=None, minor_tick_line_color=None,
            major_label_text_font_size="12px", axis_label_text_font_size="12px", axis_label_text_font_style="normal",
        )  # fmt: skip
    return drawn


def hover(tooltips: list[tuple[str, str]], *renderers: object) -> object:
    from bokeh.models import HoverTool

    return HoverTool(tooltips=tooltips, renderers=list(renderers))


def source(**columns: Sequence[object]) -> object:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource({name: list(values) for name, values in columns.items()})
