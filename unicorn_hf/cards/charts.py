"""The card's charts: PNG files, drawn only from the statistics. Equal statistics give equal bytes."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from unicorn_hf.cards.formats import ranked
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

_BARS, _SECOND, _INK, _QUIET, _GRID = "#2563eb", "#f59e0b", "#1f2937", "#6b7280", "#e5e7eb"
_WIDTH_INCHES, _DPI = 8.0, 110
_MAX_BARS = 12
_MAX_LABEL = 28


def load_matplotlib() -> None:
    """Load matplotlib in a thread: this takes longer than drawing the charts."""

    def load() -> None:
        from matplotlib.figure import Figure

        png(Figure(figsize=(1, 1)))

    Thread(target=load, name="matplotlib", daemon=True).start()


def draw_charts(statistics: Statistics) -> dict[str, bytes]:
    """The PNG files by their path in the built folder."""
    charts: dict[str, Callable[[Statistics], Figure]] = {
        "caption-lengths": _caption_lengths,
        **({"task-mix": _task_mix, "question-words": _question_words} if statistics.instruction.num_rows else {}),
        "domain-mix": _domain_mix,
    }
    with plain_matplotlib():
        return {f"assets/{name}.png": png(draw(statistics)) for name, draw in charts.items()}


def _caption_lengths(statistics: Statistics) -> "Figure":
    facts = statistics.caption_words
    figure, axes = _figure("Caption lengths", f"{statistics.pretrain.num_rows:,} captions, by number of words", 3.2)
    starts = [bin_.first for bin_ in facts.histogram]
    width = facts.histogram[0].last - facts.histogram[0].first + 1
    axes.bar(starts, [bin_.num for bin_ in facts.histogram], width=width * 0.92, align="edge", color=_BARS)
    axes.axvline(facts.median, color=_INK, linewidth=1.2, linestyle=(0, (4, 3)))
    # Room for the label above the bars.
    axes.set_ylim(0, (max(bin_.num for bin_ in facts.histogram) or 1) * 1.18)
    left = facts.median > (starts[0] + starts[-1] + width) / 2
    axes.annotate(
        f"median {facts.median:,}", (facts.median, 1), xycoords=("data", "axes fraction"),
        xytext=(-5 if left else 5, -2), textcoords="offset points", va="top", ha="right" if left else "left",
        fontsize=9, color=_INK,
    )  # fmt: skip
    axes.set_xlabel("words")
    axes.set_ylabel("captions")
    axes.yaxis.set_major_formatter(_thousands())
    axes.xaxis.set_major_formatter(_thousands())
    axes.yaxis.grid(True, color=_GRID, linewidth=0.8)
    axes.set_xlim(starts[0] - width * 0.5, starts[-1] + width * 1.5)
    return figure


def _task_mix(statistics: Statistics) -> "Figure":
    facts = statistics.instruction
    counts = _ranked({name.replace("_", " "): number for name, number in facts.per_task.items()})
    return _counted("Task mix", f"{facts.num_rows:,} conversations", counts)


def _question_words(statistics: Statistics) -> "Figure":
    counts = _ranked(statistics.instruction.question_words, last="other")
    number = sum(statistics.instruction.question_words.values())
    return _counted("Question words", f"{number:,} questions of the conversations, by their first word", counts)


def _counted(title: str, subtitle: str, counts: Mapping[str, int]) -> "Figure":
    """Bars with their number and its share."""
    whole = sum(counts.values()) or 1
    figure, axes = _figure(title, subtitle, _bars_height(len(counts)))
    bars(axes, list(counts), [counts], [_BARS], lambda number: f"{number:,}  ({100 * number / whole:.1f} %)")
    return figure


def _domain_mix(statistics: Statistics) -> "Figure":
    counts = {"pretrain": statistics.pretrain.per_domain, "instruction": statistics.instruction.per_domain}
    shown = list(_ranked(counts["pretrain"]))
    shares = []
    for found in counts.values():
        whole, rest = sum(found.values()) or 1, sum(found.values()) - sum(found.get(name, 0) for name in shown)
        listed = {name: found.get(name, 0) + (rest if name == shown[-1] else 0) for name in shown}
        shares.append({name: 100 * number / whole for name, number in listed.items()})
    figure, axes = _figure("Domain mix", "share of each config's rows", _bars_height(len(shown), 0.5))
    drawn = bars(axes, shown, shares, [_BARS, _SECOND], lambda share: f"{share:.1f} %")
    axes.legend(
        drawn, list(counts), loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9,
        borderaxespad=0.2,
    )  # fmt: skip
    return figure


def bars(
    axes: "Axes",
    names: Sequence[str],
    series: Sequence[Mapping[str, float]],
    colours: Sequence[str],
    told: Callable[[float], str],
    size: int = 9,
) -> "list[BarContainer]":
    """Draw horizontal bars with a text beside each, those of several series one below the other; no scale."""
    each, drawn = 0.8 / len(series), []
    for place, (values, colour) in enumerate(zip(series, colours, strict=True)):
        middles = [row + each * (place - (len(series) - 1) / 2) for row in range(len(names))]
        numbers = [values.get(name, 0) for name in names]
        drawn.append(axes.barh(middles, numbers, height=0.9 * each, color=colour))
        for middle, number in zip(middles, numbers, strict=True):
            axes.annotate(
                told(number), (number, middle), xytext=(4, 0), textcoords="offset points", va="center", fontsize=size,
                color=_INK,
            )  # fmt: skip
    axes.set_yticks(range(len(names)), [label(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, (axes.get_xlim()[1] or 1) * 1.18)
    return drawn


def _ranked(counts: Mapping[str, int], last: str | None = None) -> dict[str, int]:
    """Sort by count, largest first, with `last` and everything beyond `_MAX_BARS` at the end; never empty."""
    shown = [item for item in ranked(counts) if item[0] != last]
    rest = shown[_MAX_BARS - 1 :] if len(shown) > _MAX_BARS else []
    number = sum(number for _, number in rest) + (counts.get(last, 0) if last else 0)
    shown = shown[: _MAX_BARS - 1] if rest else shown
    return dict(shown) | ({last or f"{len(rest)} more": number} if number else {}) or {"none": 0}


def label(name: str) -> str:
    line = " ".join(name.split())
    return visible(line if len(line) <= _MAX_LABEL else f"{line[:_MAX_LABEL]}…")


def _bars_height(number: int, each: float = 0.32) -> float:
    return 0.75 + each * number


def _figure(title: str, subtitle: str, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK, pad=20)
    axes.annotate(
        subtitle, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points", fontsize=9, color=_QUIET
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_QUIET)
    axes.yaxis.label.set_color(_QUIET)
    axes.set_axisbelow(True)
    return figure, axes


def _thousands() -> Any:
    from matplotlib.ticker import StrMethodFormatter

    return StrMethodFormatter("{x:,.0f}")


def png(figure: "Figure") -> bytes:
    """Return the figure as a PNG file; equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    # `savefig` draws twice. By default, matplotlib writes its version into the file.
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    return file.getvalue()


@contextmanager
def plain_matplotlib() -> Iterator[None]:
    """Use matplotlib's defaults, not the user's settings, without warnings about letters that its font lacks."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        warnings.filterwarnings("ignore", category=UserWarning, module="matplotlib|unicorn_hf")
        yield
