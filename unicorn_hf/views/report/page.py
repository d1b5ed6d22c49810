"""Render the page: read the set and fill in the template."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.builders.repository import RECIPE, RUN
from unicorn_hf.cards import formats
from unicorn_hf.cards.costs import RunFacts, costs, rate, read_run
from unicorn_hf.cards.provenance import rehearsal
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.runtime.files import write_text
from unicorn_hf.views.facts import facts_of, gap_of, overlaps_of
from unicorn_hf.views.inspect import View, look
from unicorn_hf.views.report.charts import charts_of, rejection_charts
from unicorn_hf.views.report.maps import Map, map_of
from unicorn_hf.views.report.plane import laid_out
from unicorn_hf.views.report.rows import Sample, sample, shown_text

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with the name of a function
    from jinja2 import Environment

_HERE = Path(__file__).parent
_EXAMPLES_PER_REASON = 5
_MAX_RAW = 1_500
_POLICY = (
    "default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
"""Bokeh writes style elements. Only the page's own scripts run, by their hashes, and nothing is loaded."""


def write_report(folder: Path, out: Path, *, name: str | None = None, number: int = 1000) -> None:
    """Write the page of a published folder; the same folder gives the same page.

    Args:
        folder: a published folder; rejections and the vectors before the transfer may come from the work files
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
    charts, rejected = charts_of(view.statistics), rejection_charts(view.statistics)
    figures = {chart.key: chart.figure for chart in (*charts, *rejected.values())}
    if plane_map:
        figures |= {panel.key: panel.figure for panel in plane_map.panels}
        figures["cosines"] = plane_map.cosines.figure
    scripts = [_bokeh_script(), (_HERE / "page.js").read_text(encoding="utf-8")]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            view=view,
            title=shown_text(view.name),
            recipe_title=shown_text(recipe.title),
            warnings=rehearsal(recipe),
            facts={label: shown_text(value, 1000) for label, value in facts_of(view.statistics).items()},
            tiles=_tiles(view),
            diversity=_diversity(view),
            overlaps={shown_text(name): told for name, told in overlaps_of(view.statistics.overlaps).items()},
            gap=view.statistics.gap,
            gap_rows=gap_of(view.statistics.gap) if view.statistics.gap else [],
            gap_images=shown_text(view.statistics.gap.images) if view.statistics.gap else "",
            times=_times(view, run),
            costs=costs(recipe.price, view.statistics, run) if run else {},
            charts=charts,
            rejected=rejected,
            reasons=_reasons(view),
            map=plane_map,
            sampled=sampled.per_config(),
            num_rows={
                "pretrain": view.statistics.pretrain.num_rows,
                "instruction": view.statistics.instruction.num_rows,
            },
            data=_data(sampled, plane_map, figures),
            policy=_POLICY.format(hashes=" ".join(map(_hash, scripts))),
            scripts=scripts,
            style=(_HERE / "page.css").read_text(encoding="utf-8"),
        )
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


def _tiles(view: View) -> list[tuple[str, str, str]]:
    """The main figures: value, label and a detail."""
    facts = view.statistics
    tiles = [
        (f"{facts.pretrain.num_rows:,}", "captions", f"{formats.size(facts.pretrain.num_file_bytes)} of Parquet"),
        (
            f"{facts.instruction.num_rows:,}",
            "conversations",
            f"{facts.instruction.num_turns:,} question-answer pairs",
        ),
        (f"{facts.caption_words.median:,}", "words per caption", "median"),
        (f"{facts.seeds.num_seeds:,}", "seeds", f"from {len(facts.seeds.sources):,} sources"),
    ]
    for stage, what in ((facts.captions, "captions"), (facts.instructions, "conversations")):
        kept = formats.percent(stage.num_kept, stage.num_candidates)
        tiles.append((kept, f"of {what} kept", f"{stage.num_kept:,} of {stage.num_candidates:,} candidates"))
    return tiles


def _diversity(view: View) -> dict[str, str]:
    facts = view.statistics.diversity
    if facts is None:
        return {}
    return {
        "different words": f"{facts.vocabulary:,}",
        "type-token ratio": f"{facts.type_token_ratio:.2f}",
        "distinct-1, -2, -3": f"{facts.distinct_1:.3f}, {facts.distinct_2:.3f}, {facts.distinct_3:.3f}",
        "words added to a seed": f"{facts.added_words:,.1f}",
        "removed as duplicates": f"{100 * facts.duplicate_share:.2f} %",
        "removed as near-duplicates": f"{100 * facts.near_duplicate_share:.2f} %",
    }


def _times(view: View, run: RunFacts | None) -> list[tuple[str, str, str]]:
    """Stage, worker time, and output tokens per second."""
    if run is None:
        return []
    facts = view.statistics
    rates = {"captions": rate(facts.captions, run.captions), "instructions": rate(facts.instructions, run.instructions)}
    stages = ("captions", "instructions", "representations", "packaging")
    told = {name: f"{found:,.0f}" for name, found in rates.items() if found is not None}
    return [(stage, formats.time(getattr(run, stage).seconds), told.get(stage, "")) for stage in stages]


def _reasons(view: View) -> dict[str, list[dict[str, Any]]]:
    """By stage, the reasons of rejections, with the available examples."""
    found = {}
    for stage, rejections in view.rejections.items():
        facts = getattr(view.statistics, stage)
        found[stage] = [
            {
                "name": shown_text(reason),
                "number": number,
                "share": formats.percent(number, facts.num_candidates),
                "examples": [
                    {
                        "raw": shown_text(one.raw, _MAX_RAW),
                        "detail": shown_text(one.detail),
                        "subject": shown_text(one.subject),
                    }
                    for one in rejections
                    if one.reason == reason
                ],
            }
            for reason, number in formats.ranked(facts.rejected)
        ]
    return found


def _data(sampled: Sample, plane_map: Map | None, figures: Mapping[str, "Figure"]) -> dict[str, Any]:
    """The data for the page's script."""
    return {
        "rows": [asdict(row) for row in sampled.rows],
        "maps": [panel.key for panel in plane_map.panels] if plane_map else [],
        "domains": [group.domain for group in plane_map.groups] if plane_map else [],
        "figures": {figure.id: key for key, figure in figures.items()},
        "document": _document(figures),
    }


def _document(figures: Mapping[str, "Figure"]) -> Any:
    from bokeh.core.json_encoder import serialize_json
    from bokeh.document import Document

    document = Document()
    for figure in figures.values():
        document.add_root(figure)
    return json.loads(serialize_json(document.to_json()))


@lru_cache
def _bokeh_script() -> str:
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@lru_cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["num"] = formats.number
    # Keep the order of keys: Bokeh's models refer to earlier ones.
    environment.policies["json.dumps_kwargs"] = {}
    return environment
