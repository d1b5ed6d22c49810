"""Draws the pictures of README and docs into docs/assets/: python scripts/docs_pictures.py [flow use order gap report]

`gap` is of real vectors: of the demonstration encoder, for the emoji of scripts/emoji_art.py (pip install resvg-py).
`report` is a screenshot of the page of the set in ./unicorn, which `make demo` builds; it needs Chromium.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from matplotlib import rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ASSETS = Path(__file__).resolve().parent.parent / "docs" / "assets"
TEXT, MODEL, IMAGE, DATA, INK = "#dbeafe", "#fef3c7", "#ffedd5", "#dcfce7", "#1f2937"


def main(names: list[str]) -> None:
    rcdefaults()
    rcParams["svg.hashsalt"] = "unicorn-hf"
    for name in names or list(PICTURES):
        PICTURES[name]()


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 1.75, height: float = 0.78) -> None:
    """A box around (x, y)."""
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=colour, edgecolor=INK, linewidth=1))
    axes.text(x, y, text, ha="center", va="center", fontsize=10, color=INK, linespacing=1.35)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str = "") -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 13, "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, **style))
    if label:
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.1)
        axes.text(*middle, label, ha="center", va="bottom", fontsize=8.5, color=INK, style="italic")


def save(figure: Figure, name: str) -> None:
    figure.savefig(ASSETS / f"{name}.svg", metadata={"Date": None})


def flow() -> None:
    """How a set is made."""
    figure, axes = canvas(10.6, 3.3)
    top, bottom = 2.45, 0.85
    box(axes, 1.05, top, "caption seeds\n“a red teapot”", TEXT)
    box(axes, 4.0, top, "captions\na paragraph each", TEXT)
    box(axes, 6.95, top, "conversations\nquestions, answers", TEXT)
    box(axes, 4.0, bottom, "text vectors\nu", TEXT)
    box(axes, 6.95, bottom, "stand-ins for\nimages, v", IMAGE)
    box(axes, 9.65, (top + bottom) / 2, "data set\nParquet + card", DATA, width=1.6)
    arrow(axes, (1.93, top), (3.12, top), "LLM")
    arrow(axes, (4.88, top), (6.07, top), "LLM")
    arrow(axes, (4.0, top - 0.4), (4.0, bottom + 0.4))
    axes.text(4.1, (top + bottom) / 2, "text encoder", fontsize=8.5, style="italic", color=INK, va="center")
    arrow(axes, (4.88, bottom), (6.07, bottom), "transfer")
    arrow(axes, (7.83, top - 0.12), (8.83, (top + bottom) / 2 + 0.2))
    arrow(axes, (7.83, bottom + 0.12), (8.83, (top + bottom) / 2 - 0.2))
    save(figure, "flow")


def use() -> None:
    """What trains, and what takes its place at inference."""
    figure, axes = canvas(10.6, 3.1)
    for y, kind, first, second, third in (
        (2.3, "training", "caption", "u", "v = N(u − mean u)"),
        (0.8, "inference", "image", "x", "N(x − mean x)"),
    ):
        colour = TEXT if kind == "training" else IMAGE
        axes.text(0.15, y, kind, fontsize=10, weight="bold", va="center", color=INK)
        box(axes, 1.95, y, first, colour, width=1.2)
        box(axes, 4.25, y, f"{'text' if kind == 'training' else 'image'} vector\n{second}", colour, width=1.5)
        box(axes, 6.75, y, third, IMAGE, width=1.9)
        arrow(axes, (2.55, y), (3.5, y), "encoder")
        arrow(axes, (5.0, y), (5.8, y), "transfer")
        arrow(axes, (7.7, y), (8.55, 1.55 + (0.15 if y > 1.5 else -0.15)))
    box(axes, 9.45, 1.55, "projector\nand LLM", MODEL, width=1.8)
    save(figure, "use")


def order() -> None:
    """Candidates in their order, waves, and what is kept."""
    figure, axes = canvas(10.6, 2.5)
    kept = "1101111011111101"
    size, wanted = 0.52, 11
    count = 0
    for number, mark in enumerate(kept):
        x = 0.75 + number * (size + 0.06)
        count += mark == "1"
        within = count <= wanted
        colour = (DATA if mark == "1" else "#fecaca") if within else "#f3f4f6"
        axes.add_patch(FancyBboxPatch((x, 1.15), size - 0.04, size, boxstyle="round,pad=0,rounding_size=0.06",
                                      facecolor=colour, edgecolor=INK, linewidth=0.9))  # fmt: skip
        sign = ("✓" if mark == "1" else "×") if within else ""
        axes.text(x + size / 2 - 0.02, 1.15 + size / 2, sign, ha="center", va="center", fontsize=11, color=INK)
    for first, last, label in ((0, 7, "first wave"), (8, 15, "second wave: as many as will fill the set")):
        left, right = 0.75 + first * (size + 0.06), 0.75 + (last + 1) * (size + 0.06) - 0.1
        axes.plot([left, left, right, right], [1.82, 1.92, 1.92, 1.82], color=INK, linewidth=1)
        axes.text((left + right) / 2, 2.02, label, ha="center", va="bottom", fontsize=9.5, color=INK)
    legend = ((DATA, "kept: the set, in this order"), ("#fecaca", "rejected, with a reason"), ("#f3f4f6", "not needed"))
    for place, (colour, text) in enumerate(legend):
        x = 0.75 + place * 3.3
        axes.add_patch(FancyBboxPatch((x, 0.42), 0.3, 0.3, boxstyle="round,pad=0,rounding_size=0.05",
                                      facecolor=colour, edgecolor=INK, linewidth=0.9))  # fmt: skip
        axes.text(x + 0.42, 0.57, text, va="center", fontsize=9.5, color=INK)
    save(figure, "order")


def gap() -> None:
    """Labels and pictures of emoji that the demonstration encoder never saw, before and after the mean shift."""
    import numpy as np

    from scripts.emoji_art import UNSEEN, load_art
    from scripts.train_joint_encoder import ENCODER
    from unicorn_hf.cards.plots import plot_gap
    from unicorn_hf.core.encoder import resolve_encoder
    from unicorn_hf.representations.gap import projected
    from unicorn_hf.representations.moments import Moments
    from unicorn_hf.representations.transfers import TransferStatistics, fit

    art = load_art()
    shown = art.sets[UNSEEN]
    chosen = art.held_out[shown.concepts]
    choice = resolve_encoder(ENCODER, 64)
    texts = choice.open().encode([art.concepts[number].label for number in shown.concepts[chosen]]).vectors
    images = choice.open_images().encode(shown.on_white(chosen))
    transfer = fit("mean_shift", TransferStatistics(Moments.of(texts), Moments.of(images)))
    after = [transfer.apply_text(texts), transfer.apply_image(images)]
    clouds = [[np.asarray(side, dtype=np.float64) for side in pair] for pair in ((texts, images), after)]
    apart = [np.linalg.norm(pair[0].mean(axis=0) - pair[1].mean(axis=0)) for pair in clouds]
    titles = tuple(f"{when}: means {gap:.2f} apart" for when, gap in zip(("before", "after"), apart, strict=True))
    before, after = (tuple(projected(pair)) for pair in clouds)
    plot_gap(ASSETS / "gap.png", before, after, titles)
    print(f"{len(texts)} labels and pictures")


def report() -> None:
    """The map of a set, and one of its rows."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder, "report.html")
        subprocess.run(
            [Path(sys.executable).parent / "unicorn-hf", "report", "unicorn", "--out", page_file], check=True
        )
        chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1080, "height": 1200}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.wait_for_function("() => window.Bokeh && Bokeh.documents.length === 1 && Bokeh.documents[0].is_idle")
        while page.locator("#more").is_visible():
            page.locator("#more").click()
        page.locator("#table .open", has_text=SHOWN_ROW).last.click()
        page.evaluate(f"() => document.querySelectorAll({NOT_SHOWN!r}).forEach(part => part.style.display = 'none')")
        picture = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled")))
        browser.close()
    # Few colours: a third of the size.
    picture.convert("RGB").quantize(128).save(ASSETS / "report.png", optimize=True)


SHOWN_ROW = "chameleons"
"""Text of the caption whose row is open in the picture."""
NOT_SHOWN = (
    "nav, .skip, .warning, .bottom, #figures .columns, #figures h2, #charts, #rejected, #map > .chart, #filters, #more,"
    "#map > p, .legend, #rows > p, #table tbody tr:not(.opened, .detail)"
)
PICTURES: dict[str, Callable[[], None]] = {"flow": flow, "use": use, "order": order, "gap": gap, "report": report}

if __name__ == "__main__":
    main(sys.argv[1:])
