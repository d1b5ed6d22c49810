"""Render the page: read the set and fill in the template."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.builders.repository import RECIPE, RUN
from unicorn_hf.cards.costs import costs, rate, read_run
from unicorn_hf.cards.provenance import rehearsal
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.runtime.files import write_text
from unicorn_hf.views.facts import facts_of, overlaps_of, scores_of
from unicorn_hf.views.inspect import NO_EXAMPLES, look
from unicorn_hf.views.pages import hashes, page_script, page_style, page_template
from unicorn_hf.views.report.charts import Chart, charts_of, rejection_charts
from unicorn_hf.views.report.maps import Map, map_of
from unicorn_hf.views.report.plane import laid_out
from unicorn_hf.views.report.rows import Sample, sample

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with the name of a function

_HERE = Path(__file__).parent
_EXAMPLES_PER_REASON = 5
_POLICY = (
    "default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
"""Bokeh writes style elements. Only the page's own scripts run, by their hashes, and nothing is loaded."""


def write_report(folder: Path, out: Path, *, name: str | None = None, number: int = 1000) -> None:
    """Write the page of a built folder; the same folder gives the same page.

    Args:
        folder: a built folder; rejections and the vectors before the transfer may come from the work files
            beside it.
        out: the file; an existing one is replaced.
        name: the set's name; by default the folder's.
        number: rows of each config, evenly spaced; fewer if their text is too long for a page.

    Raises:
        InputError: `folder` is not a build, or cannot be read; Bokeh is not installed.
        RunError: the file cannot be written.
    """
    try:
        page = render_report(folder, name=name, number=number)
        write_text(out, page)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}", "Choose another --out FILE.html.") from error


def render_report(folder: Path, *, name: str | None = None, number: int = 1000) -> str:
    """Return the page as text; see `write_report`."""
    check_bokeh()
    view = look(folder, name=name or folder.absolute().name, number=0, examples=_EXAMPLES_PER_REASON)
    recipe = read_recipe(folder / RECIPE)
    run = read_run(folder / RUN)
    sampled = sample(folder, number)
    plane = laid_out(folder, work_dir_of(folder), sampled.ids, sampled.vectors)
    plane_map = map_of(plane, sampled.rows) if plane else None
    charts, rejected = list(charts_of(view.statistics)), rejection_charts(view.statistics)
    on_map = [*plane_map.panels, plane_map.cosines] if plane_map else []
    figures = {chart.key: chart.figure for chart in (*charts, *on_map) if isinstance(chart, Chart)}
    scripts = [_bokeh_script(), page_script() + (_HERE / "page.js").read_text(encoding="utf-8")]
    return page_template(_HERE / "page.html.j2").render(
        view=view,
        no_examples=NO_EXAMPLES,
        statistics=view.statistics,
        recipe=recipe,
        warnings=rehearsal(recipe),
        facts=facts_of(view.statistics),
        overlaps=overlaps_of(view.statistics.overlaps),
        scores=scores_of(view.statistics.proof),
        run=run,
        rate=rate,
        costs=costs(recipe.engine_price, view.statistics, run) if run else {},
        charts=charts,
        rejected=rejected,
        map=plane_map,
        sampled=Counter(row.config for row in sampled.rows),
        data=_data(sampled, plane_map, figures),
        policy=_POLICY.format(hashes=hashes(*scripts)),
        scripts=scripts,
        style=page_style(),
    )


def check_bokeh() -> None:
    """
    Raises:
        InputError: Bokeh is not installed.
    """
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise InputError(
            "the report's charts require Bokeh, which is not installed", 'Install it: pip install "unicorn-hf[report]"'
        ) from None


def _data(sampled: Sample, plane_map: Map | None, figures: Mapping[str, "Figure"]) -> dict[str, Any]:
    """The data for the page's script."""
    from bokeh.core.json_encoder import serialize_json
    from bokeh.document import Document

    document = Document()
    for figure in figures.values():
        document.add_root(figure)
    return {
        "rows": [asdict(row) for row in sampled.rows],
        "maps": [panel.key for panel in plane_map.panels] if plane_map else [],
        "domains": [group.domain for group in plane_map.groups] if plane_map else [],
        "figures": {figure.id: key for key, figure in figures.items()},
        "document": json.loads(serialize_json(document.to_json())),
    }


@lru_cache
def _bokeh_script() -> str:
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw)
