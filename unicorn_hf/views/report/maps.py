"""The map of the vectors, drawn by Bokeh: a point for each sampled row, before and after the transfer."""

import itertools
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unicorn_hf.views.pages import shown_text
from unicorn_hf.views.report.charts import FIRST, SECOND, Chart, empty_figure, hover, source
from unicorn_hf.views.report.plane import COSINE_BINS, Plane, Side
from unicorn_hf.views.report.rows import SampledRow

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with the name of a function

# Okabe and Ito's colours for all kinds of colour vision, visible on black and on white, each with its own shape.
_LOOKS = (
    ("#0072b2", "circle", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z"),
    ("#e69f00", "square", "M-5-5H5V5H-5Z"),
    ("#009e73", "triangle", "M0-6L6 5H-6Z"),
    ("#cc79a7", "diamond", "M0-6L5 0L0 6L-5 0Z"),
    ("#d55e00", "inverted_triangle", "M0 6L6-5H-6Z"),
    ("#56b4e9", "hex", "M-6 0L-3-5H3L6 0L3 5H-3Z"),
    ("#8a8f98", "square_pin", "M-5-5Q0-1 5-5Q1 0 5 5Q0 1-5 5Q-1 0-5-5Z"),
)
"""Colour, Bokeh's marker, and the same shape for the legend."""
_TOOLS = "pan,box_zoom,wheel_zoom,reset,tap"
_TIP_LINES, _TIP_WIDTH = 4, 48
# One field per line: Bokeh does not wrap a field, and some versions do not escape fields in an HTML template.
_TIP = [("", "@domain"), *(("", f"@line_{number}") for number in range(_TIP_LINES))]


@dataclass(frozen=True)
class Group:
    """The rows of one domain, or of all domains without their own colour."""

    label: str
    domain: str | None
    """The domain's name in the sampled rows; None for several domains."""
    number: int
    colour: str
    marker: str
    path: str
    """SVG path of the marker."""


@dataclass(frozen=True)
class Map:
    """The map for the page."""

    plane: Plane
    panels: list[Chart]
    """Before and after the transfer, without a table."""
    groups: list[Group]
    cosines: Chart


def map_of(plane: Plane, rows: Sequence[SampledRow]) -> Map:
    """Draw the map of the rows with a vector; `rows` are all sampled ones."""
    shown = [rows[place] for place in plane.rows]
    groups, number_of = _groups([row.domain for row in shown])
    sides = {"before": plane.before, "after": plane.after} if plane.before else {"after": plane.after}
    points = source(
        row=[int(place) for place in plane.rows],
        colour=[groups[number_of[row.domain]].colour for row in shown],
        marker=[groups[number_of[row.domain]].marker for row in shown],
        alpha=[0.7] * len(shown),
        domain=[_short(row.domain, _TIP_WIDTH) for row in shown],
        **_tip_columns(shown),
        **{
            f"{axis}_{key}": [round(float(value), 5) for value in side.points[:, column]]
            for key, side in sides.items()
            for column, axis in enumerate("xy")
        },
    )
    titles = {"before": "Before the transfer: the encoder's vectors", "after": "After: the vectors of the set"}
    if not plane.before:
        titles["after"] = "The vectors of the set"
    panels = [
        Chart(f"map-{key}", titles[key], _note(side), (), (), _figure(key, points)) for key, side in sides.items()
    ]
    return Map(plane, panels, groups, _cosine_chart(sides))


def _tip_columns(rows: Sequence[SampledRow]) -> dict[str, list[str]]:
    """The first lines of each caption, one column per line."""
    wrapped = [
        textwrap.wrap(row.caption, _TIP_WIDTH, max_lines=_TIP_LINES, placeholder="…", break_on_hyphens=False)
        for row in rows
    ]
    return {
        f"line_{number}": [lines[number] if number < len(lines) else "" for lines in wrapped]
        for number in range(_TIP_LINES)
    }


def _cosine_chart(sides: Mapping[str, Side]) -> Chart:
    """Draw the histograms of all cosines, before and after the transfer."""
    parts = np.linspace(-1, 1, COSINE_BINS + 1)
    used = np.flatnonzero(sum(side.cosines for side in sides.values()))
    first, last = int(used[0]), int(used[-1]) + 1
    labels = [f"{low:.3f} to {high:.3f}" for low, high in itertools.pairwise(parts[first : last + 1])]
    shares = {key: side.cosines[first:last] for key, side in sides.items()}
    figure = empty_figure(height=260)
    for key, colour in zip(sides, (SECOND, FIRST) if len(sides) > 1 else (FIRST,), strict=True):
        columns = figure.quad(
            left="left", right="right", top="top", bottom=0, color=colour, alpha=0.6, line_color=None,
            source=source(
                left=parts[first:last].tolist(), right=parts[first + 1 : last + 1].tolist(), top=shares[key].tolist(),
                share=[f"{100 * share:.2f} %" for share in shares[key]], label=labels,
            ),
        )  # fmt: skip
        figure.add_tools(hover([("cosine", "@label"), (key, "@share of all pairs")], columns))
    figure.x_range.update(start=parts[first], end=parts[last])
    figure.y_range.start = 0
    figure.xaxis.axis_label = "cosine of two captions"
    figure.yaxis.visible = False
    figure.grid.visible = False
    means = " and ".join(f"{round(side.mean_cosine, 2) + 0:.2f} {key}" for key, side in sides.items())
    colours = " the transfer (amber: before, blue: after)" if len(sides) > 1 else ""
    cells = zip(labels, *([f"{100 * share:.2f} %" for share in shares[key]] for key in sides), strict=True)
    return Chart(
        "cosines", "Similarity of captions",
        f"The mean cosine of two captions' vectors is {means}{colours}",
        ("cosine", *sides), list(cells), figure,
    )  # fmt: skip


def _groups(domains: list[str]) -> tuple[list[Group], dict[str, int]]:
    """The groups, and the index of each domain's group."""
    ranked = sorted(Counter(domains).items(), key=lambda item: (-item[1], item[0]))
    own = ranked if len(ranked) <= len(_LOOKS) else ranked[: len(_LOOKS) - 1]
    groups = [Group(_short(name, 40), name, number, *look) for (name, number), look in zip(own, _LOOKS, strict=False)]
    if rest := ranked[len(own) :]:
        groups.append(Group(f"{len(rest)} other domains", None, sum(number for _, number in rest), *_LOOKS[-1]))
    return groups, {name: min(place, len(groups) - 1) for place, (name, _) in enumerate(ranked)}


def _note(side: Side) -> str:
    return (
        f"The mean of these vectors has the norm {side.mean_norm:.2f}. "
        f"The two axes of the map contain {100 * side.share:.0f} % of their variance."
    )


def _figure(key: str, points: object) -> "Figure":
    from bokeh.models import HoverTool, Scatter

    figure = empty_figure(
        height=380, match_aspect=True, tools=_TOOLS, toolbar_location="above", active_drag=None, active_scroll=None
    )
    figure.toolbar.logo = None
    figure.axis.visible = False
    figure.grid.visible = False
    drawn = figure.scatter(
        x=f"x_{key}", y=f"y_{key}", marker="marker", size=7, fill_color="colour", line_color="colour",
        fill_alpha="alpha", line_alpha="alpha", source=points,
    )  # fmt: skip
    drawn.nonselection_glyph = None
    drawn.selection_glyph = Scatter(
        marker="marker", size=16, fill_color="colour", line_color="#e03131", line_width=3, fill_alpha=1
    )
    figure.add_tools(HoverTool(tooltips=_TIP, renderers=[drawn], point_policy="snap_to_data", limit=1))
    return figure


def _short(name: str, limit: int) -> str:
    line = " ".join(name.split())
    return shown_text(line if len(line) <= limit else f"{line[: limit - 1]}…")
