"""Formats of figures for readers, and templates that use them."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.units import counted, duration, size

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Sort by count, largest first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def template(path: Path, filters: Mapping[str, Callable[..., Any]], *, autoescape: bool) -> "Template":
    """Load a template with these filters, and with those for figures: see `_environment`."""
    return _environment(path.parent, tuple(filters.items()), autoescape).get_template(path.name)


@cache
def _environment(folder: Path, filters: tuple[tuple[str, Callable[..., Any]], ...], autoescape: bool) -> "Environment":
    """Kept, as it keeps its compiled templates: compiling the card takes as long as filling it in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=autoescape,  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    figures = {"num": "{:,}".format, "counted": counted, "size": size, "percent": percent, "time": duration}
    environment.filters |= {**figures, "ranked": ranked, **dict(filters)}
    # Keep the order of keys: Bokeh's models refer to earlier ones.
    environment.policies["json.dumps_kwargs"] = {}
    return environment
