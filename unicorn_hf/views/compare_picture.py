"""The comparison of sets as a picture: lengths, tasks, domains, and the diversity of captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unicorn_hf.cards.charts import bars, label, plain_matplotlib, png
from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.files import write_bytes
from unicorn_hf.views.compare import VARIETY, Comparison, SetFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#2563eb", "#f59e0b", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#6b7280")
_MOST = 8


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
    colours = [_COLOURS[at % len(_COLOURS)] for at in range(len(sets))]
    _lengths(lengths, sets, colours)
    variety = [{name: getattr(one.diversity, field, 0.0) for name, field in VARIETY.items()} for one in sets]
    mixes = [[_shares(one.instruction.per_task) for one in sets], [_shares(one.pretrain.per_domain) for one in sets]]
    for axes, title, values, names, form in (
        (varied, "Diversity of captions", variety, list(VARIETY), "{:.2f}"),
        (tasks, "Tasks, share of conversations", mixes[0], _largest(mixes[0]), "{:.1f} %"),
        (domains, "Domains, share of captions", mixes[1], _largest(mixes[1]), "{:.1f} %"),
    ):
        bars(axes, names, values, colours, form.format, size=7 if len(sets) <= 4 else 5)
        # Keep bars slim if there are few.
        axes.set_ylim(bottom=max(len(names), 3) - 0.5)
        _titled(axes, title)
    handles = lengths.get_legend_handles_labels()[0]
    # With the numbers of the tables, since names are cut.
    labels = [f"{number} {label(one.name)}" for number, one in enumerate(sets, 1)]
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(sets)), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _lengths(axes: "Axes", sets: Sequence[SetFigures], colours: Sequence[str]) -> None:
    for at, (one, colour) in enumerate(zip(sets, colours, strict=True)):
        bins = one.caption_words.histogram
        middles = [(part.first + part.last) // 2 for part in bins]
        # Densities make sets of different sizes and word ranges comparable.
        heights = [100 * part.num / (max(one.pretrain.num_rows, 1) * (part.last - part.first + 1)) for part in bins]
        axes.plot(middles, heights, color=colour, linewidth=1.8, label=f"set {at}")
        axes.axvline(one.caption_words.median, color=colour, linewidth=1, linestyle=(0, (4, 3)))
    _titled(axes, "Words of a caption (dashed: median)")
    axes.set_ylabel("% of captions, for each number of words", fontsize=9)
    axes.set_ylim(bottom=0)


def _titled(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _largest(counts: Sequence[dict[str, float]]) -> list[str]:
    names = {name for part in counts for name in part}
    return sorted(names, key=lambda name: (-max(part.get(name, 0) for part in counts), name))[:_MOST]


def _shares(counts: dict[str, int]) -> dict[str, float]:
    whole = sum(counts.values()) or 1
    return {name: 100 * number / whole for name, number in counts.items()}
