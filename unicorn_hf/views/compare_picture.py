"""The comparison of sets as a picture: lengths, tasks, domains, and the diversity of captions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unicorn_hf.cards.charts import plain_matplotlib, png
from unicorn_hf.cards.text import shortened
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.visible import visible
from unicorn_hf.runtime.files import write_bytes
from unicorn_hf.views.compare import VARIETY, Comparison, SetFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#2563eb", "#f59e0b", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#6b7280")
_MOST = 8
_MAX_NAME = 28


def draw(comparison: Comparison, path: Path) -> None:
    """Write a PNG; an equal comparison gives equal bytes.

    Raises:
        RunError: the file cannot be written.
    """
    with plain_matplotlib():
        picture = png(_figure(comparison.sets))
    try:
        write_bytes(path, picture)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _figure(sets: Sequence[SetFigures]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), dpi=110, layout="constrained", facecolor="white")
    lengths, varied, tasks, domains = figure.subplots(2, 2).flatten()
    _lengths(lengths, sets)
    values = [{label: getattr(one.diversity, field, 0.0) for label, field in VARIETY.items()} for one in sets]
    _bars(varied, "Diversity of captions", values, list(VARIETY), lambda value: f"{value:.2f}")
    for axes, title, counts in (
        (tasks, "Tasks, share of conversations", [_shares(one.instruction.per_task) for one in sets]),
        (domains, "Domains, share of captions", [_shares(one.pretrain.per_domain) for one in sets]),
    ):
        ranked = sorted(
            {name for part in counts for name in part}, key=lambda n: (-max(c.get(n, 0) for c in counts), n)
        )
        _bars(axes, title, counts, ranked[:_MOST], lambda value: f"{value:.1f} %")
    handles = lengths.get_legend_handles_labels()[0]
    legend = figure.legend(
        handles, [_label(one.name) for one in sets], loc="outside lower center", ncols=min(4, len(sets)), frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _lengths(axes: "Axes", sets: Sequence[SetFigures]) -> None:
    for at, one in enumerate(sets):
        bins = one.caption_words.histogram
        middles = [(part.first + part.last) // 2 for part in bins]
        # Densities make sets of different sizes and word ranges comparable.
        heights = [100 * part.num / (max(one.pretrain.num_rows, 1) * (part.last - part.first + 1)) for part in bins]
        axes.plot(middles, heights, color=_colour(at), linewidth=1.8, label=f"set {at}")
        axes.axvline(one.caption_words.median, color=_colour(at), linewidth=1, linestyle=(0, (4, 3)))
    _titled(axes, "Words of a caption (dashed: median)")
    axes.set_ylabel("% of captions, for each number of words", fontsize=9)
    axes.set_ylim(bottom=0)


def _bars(
    axes: "Axes", title: str, values: Sequence[dict[str, float]], names: Sequence[str], told: Callable[[float], str]
) -> None:
    height = 0.8 / len(values)
    for at, found in enumerate(values):
        places = [place + at * height for place in range(len(names))]
        numbers = [found.get(name, 0.0) for name in names]
        axes.barh(places, numbers, height=height * 0.92, color=_colour(at))
        for place, number in zip(places, numbers, strict=True):
            axes.annotate(
                told(number), (number, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7
            )
    middle = (len(values) - 1) * height / 2
    axes.set_yticks([place + middle for place in range(len(names))], [_label(n) for n in names], parse_math=False)
    # Keep bars slim if there are few.
    axes.set_ylim(max(len(names), 3) - height / 2, -0.2 - height / 2)
    axes.set_xlim(0, (axes.get_xlim()[1] or 1) * 1.15)
    axes.set_xticks([])
    _titled(axes, title)
    axes.spines["bottom"].set_visible(False)


def _titled(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _shares(counts: dict[str, int]) -> dict[str, float]:
    whole = sum(counts.values()) or 1
    return {name: 100 * number / whole for name, number in counts.items()}


def _colour(at: int) -> str:
    return _COLOURS[at % len(_COLOURS)]


def _label(name: str) -> str:
    # A legend skips labels that start with an underscore.
    return f" {visible(shortened(' '.join(name.split()), _MAX_NAME))}"
