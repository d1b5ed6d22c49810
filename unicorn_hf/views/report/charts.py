"""The page's charts from the statistics: tables with a bar for each count, and histograms drawn by Bokeh.

Names go into the page, text glyphs and hover fields, never into titles, axes or legends, where Bokeh interprets TeX.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unicorn_hf.cards.formats import ranked
from unicorn_hf.cards.statistics import Statistics

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with the name of a function

FIRST, SECOND = "#4c6ef5", "#f59f00"
_INK = "#5b6472"
_MAX_TABLE = 200


@dataclass(frozen=True)
class Bars:
    """A table with a bar for each count."""

    title: str
    subtitle: str
    of: str
    """What the rows are."""
    series: Mapping[str, Mapping[str, int]]
    """Counts in the order of the rows."""
    whole: int | None = None
    """What the shares are of; by default the sum of a series."""

    def rows(self) -> Iterator[tuple[str, list[tuple[int, int, float]]]]:
        """Each name with its count, whole and length of the bar (0 to 100) by series."""
        names = list(dict.fromkeys(name for counts in self.series.values() for name in counts))
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
            {"rejected": dict(ranked(of.rejected))},
            of.num_candidates,
        )
        for stage, (what, of) in stages.items()
        if of.rejected
    }


def charts_of(facts: Statistics) -> Iterator[Bars | Chart]:
    """The charts, without empty ones."""
    of = facts.instruction
    conversations = f"{of.num_rows:,} conversations"
    yield _lengths(facts)
    if of.per_task:
        tasks = {name.replace("_", " "): value for name, value in ranked(of.per_task)}
        yield Bars("Tasks", conversations, "task", {"conversations": tasks})
    domains = {"pretrain": dict(ranked(facts.pretrain.per_domain)), "instruction": dict(ranked(of.per_domain))}
    yield Bars("Domains", "rows of pretrain (blue) and of instruction (amber), as shares of each", "domain", domains)
    if words := of.question_words:
        subtitle = f"{sum(words.values()):,} questions of the conversations"
        yield Bars("First words of questions", subtitle, "word", {"questions": dict(ranked(words))})
    if of.turns:
        turns = {f"{pairs:,}": of.turns[pairs] for pairs in sorted(of.turns)}
        subtitle = f"{conversations} by pairs of a question and an answer"
        yield Bars("Length of conversations", subtitle, "pairs", {"conversations": turns})
    if letters := of.answer_letters:
        subtitle = f"{sum(letters.values()):,} multiple-choice questions, by the letter of the correct option"
        yield Bars("Correct options", subtitle, "letter", {"questions": letters})


def _lengths(facts: Statistics) -> Chart:
    """Draw a column for each bin of the captions' number of words."""
    from bokeh.models import NumeralTickFormatter, Span

    words, head = facts.caption_words, ("words", "captions")
    bins = words.histogram
    figure = empty_figure(height=260)
    labels = [f"{one.first:,} to {one.last:,}" for one in bins]
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
    figure.add_layout(Span(location=words.median, dimension="height", line_color=_INK, line_dash="dashed"))
    figure.x_range.update(start=bins[0].first - 0.5, end=bins[-1].last + 0.5)
    figure.y_range.update(start=0, end=(max(one.num for one in bins) or 1) * 1.05)
    figure.xaxis.axis_label, figure.yaxis.axis_label = head
    figure.xgrid.visible = False
    for axis in (figure.xaxis, figure.yaxis):
        axis.formatter = NumeralTickFormatter(format="0,0")
    subtitle = f"{facts.pretrain.num_rows:,} captions by number of words; the line is the median, {words.median:,}"
    table = [(label, f"{one.num:,}") for label, one in zip(labels, bins, strict=True)]
    return Chart("caption-lengths", "Caption lengths", subtitle, head, table, figure)


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
