"""The page's charts, drawn by Bokeh from the statistics; each has a table with the same figures.

Names go into text glyphs and hover fields, never into titles, axes or legends, where Bokeh interprets TeX.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from unicorn_hf.builders.figures import Bin
from unicorn_hf.cards.formats import percent, ranked
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.views.pages import shown_text

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with the name of a function

FIRST, SECOND, _LEFT_OUT = "#4c6ef5", "#f59f00", "#e8590c"
_INK = "#5b6472"
_MAX_BARS = 12
_MAX_LABEL = 30
_MAX_TABLE = 200


@dataclass(frozen=True)
class Chart:
    """A chart and its table."""

    key: str
    title: str
    subtitle: str
    head: tuple[str, ...]
    table: Sequence[tuple[str, ...]]
    """Label and figures of each bar, in the order of `head`."""
    figure: "Figure"


def rejection_charts(facts: Statistics) -> dict[str, Chart]:
    """Draw a chart for each stage with rejections."""
    stages = {"captions": ("captions", facts.captions), "instructions": ("conversations", facts.instructions)}
    return {
        stage: _bars(
            f"rejected-{stage}",
            f"Rejected {what}",
            f"{of.num_rejected:,} of {of.num_candidates:,} candidates were rejected",
            "reason",
            {"rejected": of.rejected},
            of.num_candidates,
            colours=(_LEFT_OUT,),
        )
        for stage, (what, of) in stages.items()
        if of.rejected
    }


def charts_of(facts: Statistics) -> Iterator[Chart]:
    """Draw the charts, without empty ones."""
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
        yield _bars("tasks", "Tasks", f"{conversations:,} conversations", "task", {"conversations": tasks})
    yield _bars(
        "domains",
        "Domains",
        "rows of pretrain (blue) and of instruction (amber), as shares of each",
        "domain",
        {"pretrain": facts.pretrain.per_domain, "instruction": facts.instruction.per_domain},
    )
    if facts.instruction.question_words:
        words = facts.instruction.question_words
        subtitle = f"{sum(words.values()):,} questions of the conversations"
        yield _bars("question-words", "First words of questions", subtitle, "word", {"questions": words})
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
        yield _bars("letters", "Correct options", subtitle, "letter", {"questions": letters})


def _bars(
    key: str,
    title: str,
    subtitle: str,
    of: str,
    series: Mapping[str, Mapping[str, int]],
    whole: int | None = None,
    colours: Sequence[str] = (FIRST, SECOND),
) -> Chart:
    """Draw horizontal bars with a name above each; several `series` are drawn side by side, as shares."""
    names = list(dict.fromkeys(name for counts in series.values() for name, _ in ranked(counts)))
    drawn = names[:_MAX_BARS]
    figure = empty_figure(height=46 * len(drawn) + 10 * len(drawn) * (len(series) - 1) + 12)
    thickness, longest = 0.4 / len(series), 0.0
    cells: list[tuple[list[str], list[str]]] = []
    for place, (each, counts) in enumerate(series.items()):
        total = whole or sum(counts.values()) or 1
        numbers = [counts.get(name, 0) for name in names]
        cells.append(([f"{number:,}" for number in numbers], [percent(number, total) for number in numbers]))
        shares = [number / total for number in numbers[:_MAX_BARS]]
        longest = max([longest, *shares])
        bars = figure.hbar(
            y="y", right="share", height=thickness * 0.92, color=colours[place], line_color=None,
            source=source(
                y=[row + 0.02 + thickness * (place + 0.5) for row in range(len(drawn))],
                share=shares,
                num=cells[-1][0][:_MAX_BARS],
                percent=cells[-1][1][:_MAX_BARS],
                name=[short(name, 48) for name in drawn],
            ),
        )  # fmt: skip
        figure.add_tools(hover([("", "@name"), (each, "@num"), ("share", "@percent")], bars))
    # The text at the right of each bar.
    if len(cells) > 1:
        beside = [" · ".join(of_name) for of_name in zip(*(percents for _, percents in cells), strict=True)]
    else:
        beside = [f"{number}  ({share})" for number, share in zip(*cells[0], strict=True)]
    labels = [short(name, _MAX_LABEL) for name in drawn]
    longest = longest or 1
    for x, align, texts in ((0, "left", labels), (longest, "right", beside[:_MAX_BARS])):
        figure.text(
            x=x, y="y", text="text", text_baseline="middle", text_align=align, text_font_size="13px", text_color=_INK,
            source=source(y=[row - 0.2 for row in range(len(drawn))], text=texts),
        )  # fmt: skip
    figure.x_range.update(start=0, end=longest)
    figure.y_range.update(start=len(drawn) - 0.5, end=-0.5)
    figure.axis.visible = False
    figure.grid.visible = False
    if len(names) > _MAX_BARS:
        subtitle += f"; the {_MAX_BARS} largest of {len(names):,}"
    head = (of, *(cell for each in series for cell in (each, "share")))
    table = list(zip(map(shown_text, names), *chain.from_iterable(cells), strict=True))[:_MAX_TABLE]
    return Chart(key, title, subtitle, head, table, figure)


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
    if len(bins) <= _MAX_BARS and all(one.first == one.last for one in bins):
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


def short(name: str, limit: int) -> str:
    line = " ".join(name.split())
    return shown_text(line if len(line) <= limit else f"{line[: limit - 1]}…")
