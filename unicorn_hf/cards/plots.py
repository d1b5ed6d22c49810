"""The picture of the gap: two clouds before and after the transfer."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.cards.charts import plain_matplotlib, png
from unicorn_hf.runtime.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = NDArray[np.float64]
_TEXT, _IMAGE = "#2563eb", "#f97316"
_MAX_POINTS = 1500


def plot_gap(path: Path, before: tuple[Points, Points], after: tuple[Points, Points], titles: tuple[str, str]) -> None:
    """Write a PNG of two-dimensional texts and images, before and after; equal points give equal bytes."""
    with plain_matplotlib():
        write_bytes(path, png(_drawn(before, after, titles)))


def _drawn(before: tuple[Points, Points], after: tuple[Points, Points], titles: tuple[str, str]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.4), dpi=120, layout="constrained")
    for axes, (texts, images), title in zip(figure.subplots(1, 2), (before, after), titles, strict=True):
        for cloud, colour, label in ((images, _IMAGE, "images"), (texts, _TEXT, "texts")):
            some = cloud[:_MAX_POINTS]
            axes.scatter(some[:, 0], some[:, 1], s=7, alpha=0.45, linewidths=0, color=colour, label=label)
        for cloud, colour in ((images, _IMAGE), (texts, _TEXT)):
            axes.scatter(*cloud.mean(axis=0), s=90, marker="X", color=colour, edgecolors="black", linewidths=1)
        axes.set_title(title, fontsize=11)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, markerscale=2.5)
    return figure
