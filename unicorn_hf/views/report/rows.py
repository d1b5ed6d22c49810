"""The rows that the page shows: an evenly spaced sample of each config, with vectors."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from numpy.typing import NDArray

from unicorn_hf.builders.original import COLUMNS
from unicorn_hf.builders.places import CONFIGS
from unicorn_hf.builders.rows import found_vectors, spread
from unicorn_hf.core.ids import stable_int
from unicorn_hf.views.pages import shown_text

_MAX_CAPTION, _MAX_TURN = 6_000, 3_000
_MAX_TURNS = 40
_MAX_BYTES = 4_000_000
"""Limit for the rows of one config in the page."""


@dataclass(frozen=True)
class SampledRow:
    """A row for the page; its texts contain no invisible characters."""

    config: str
    id: str
    domain: str
    task: str
    """Empty in `pretrain`."""
    seed: str
    caption: str
    turns: list[tuple[str, str]]
    """Speaker and text."""


@dataclass(frozen=True)
class Sample:
    """Rows of both configs, mixed."""

    rows: list[SampledRow]
    ids: list[str]
    """The rows' original ids."""
    vectors: NDArray[np.float64]
    """(rows, dimensions); NaN if a row has no vector."""


def sample(folder: Path, number: int) -> Sample:
    """Return `number` evenly spaced rows of each config; fewer if their text is too long for a page.

    Raises:
        InputError: the rows cannot be read.
    """
    samples = [one for config in CONFIGS if (one := _of_config(folder, config, number))]
    rows = [row for one in samples for row in one.rows]
    ids = [name for one in samples for name in one.ids]
    # Shuffle by a hash, so that the first rows come from both configs and from the whole set.
    order = sorted(range(len(rows)), key=lambda place: stable_int("report", rows[place].config, ids[place]))
    vectors = np.concatenate([one.vectors for one in samples] or [np.empty((0, 1))])[order]
    return Sample([rows[place] for place in order], [ids[place] for place in order], vectors)


def _of_config(folder: Path, config: str, number: int) -> Sample | None:
    """Sample one config; None if it has no rows."""
    table = spread(folder, config, [*COLUMNS[config], "image_embedding"], number)
    if not table.num_rows:
        return None
    column = table.column("image_embedding").combine_chunks()
    vectors = np.full((len(column), column.type.list_size), np.nan)
    there, places = found_vectors(column)
    vectors[places] = there
    found = table.drop_columns("image_embedding").to_pylist()
    rows = [_shown(config, row) for row in found]
    sizes = np.array([len(htmlsafe_json_dumps(asdict(row))) for row in rows])
    step = 1
    while sizes[::step].sum() > _MAX_BYTES:
        step *= 2
    return Sample(rows[::step], [row["id"] for row in found[::step]], vectors[::step])


def _shown(config: str, row: dict[str, Any]) -> SampledRow:
    turns = [
        (shown_text(turn["from"]), shown_text(turn["value"], _MAX_TURN)) for turn in row["conversations"][:_MAX_TURNS]
    ]
    if (more := len(row["conversations"]) - _MAX_TURNS) > 0:
        turns.append(("", f"… and {more:,} more turns"))
    short = {name: shown_text(row.get(name, "")) for name in ("id", "domain", "task", "seed")}
    return SampledRow(config, **short, caption=shown_text(row["caption"], _MAX_CAPTION), turns=turns)
