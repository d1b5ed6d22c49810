"""Compare data sets: figures from their statistics, or from their rows if there are none, and what they share.

Names and labels of sets are shown as text, in the terminal and in Markdown: markup in them has no effect.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel

from unicorn_hf.builders.diversity import Diversity, Variety
from unicorn_hf.builders.figures import RowFigures, ShardStatistics, WordFacts
from unicorn_hf.builders.places import CONFIGS, data_files, file_names
from unicorn_hf.builders.repository import RECIPE, RUN, STATISTICS
from unicorn_hf.builders.unicorn import DataFile
from unicorn_hf.captions.step import digest_of
from unicorn_hf.cards.costs import costs, read_run
from unicorn_hf.cards.scores import Score
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.cards.text import as_text, shortened
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.core.visible import visible
from unicorn_hf.representations.figures import GapFacts, RepresentationFacts
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.runtime.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_MOST = 12
"""Tasks, domains and reasons that get their own line."""
_MAX_CELL = 80
_BATCH_ROWS = 1000
_FIGURE = re.compile(r"[\d,.]+( \([\d.]+ %\))?|[\d,]+ to [\d,]+|[\d.]+ % \[[\d.]+, [\d.]+\]|—")
"""Cells that need no escape in Markdown."""
VARIETY = {
    "type-token ratio": "type_token_ratio",
    "distinct-1": "distinct_1",
    "distinct-2": "distinct_2",
    "distinct-3": "distinct_3",
}
"""Fields of `Variety` by their labels."""
_COUNTED = ["caption", "conversations", "domain"]


class Cost(BaseModel):
    """Time and cost of a set."""

    seconds: float
    """Summed over all workers."""
    amount: float
    """By the recipe's prices; 0 if it has none."""
    currency: str
    machines: tuple[str, ...]


class SetFigures(Figures):
    """The figures of one set; None if unknown."""

    name: str
    from_statistics: bool
    """Whether the figures come from `statistics.json`; otherwise from its rows."""
    pretrain: RowFigures
    instruction: RowFigures
    caption_words: WordFacts
    diversity: Variety | None
    num_duplicates: int
    """Captions with the same words as an earlier one in the set."""
    engine: str | None = None
    representations: RepresentationFacts | None = None
    captions: Counts | None = None
    instructions: Counts | None = None
    cost: Cost | None = None
    gap: GapFacts | None = None
    """None if `unicorn-hf gap` was not run."""
    proof: tuple[Score, ...] = ()
    """Empty if `unicorn-hf evaluate` was not run."""


class Shared(BaseModel):
    """The overlap of two sets."""

    first: str
    second: str
    num_ids: int
    num_captions: int
    """Captions of the first set with the same words as one of the second."""


class Comparison(BaseModel):
    sets: tuple[SetFigures, ...]
    shared: tuple[Shared, ...]


def compare(folders: Sequence[Path], names: Sequence[str], progress: Progress) -> Comparison:
    """Collect the figures of two or more sets, with 16 bytes of memory per caption.

    Args:
        folders: folders of built sets, or of the original release.
        names: names of the sets; equal ones get numbers.
        progress: shows how many sets are done.

    Raises:
        InputError: a folder contains no readable set, or there is only one.
    """
    if len(folders) < 2:
        raise InputError("a comparison requires at least two sets")
    names = [f"{name} ({names[: at + 1].count(name)})" if name in names[:at] else name for at, name in enumerate(names)]
    progress.start("compare", len(folders), unit="sets")
    found, ids, texts = [], [], []
    for done, (folder, name) in enumerate(zip(folders, names, strict=True), start=1):
        known, digests = _digests(folder, name)
        ids.append(known)
        texts.append(np.unique(digests))
        found.append(_figures(folder, name, num_duplicates=len(digests) - len(texts[-1])))
        progress.known(done, 0)
    progress.finish()
    shared = [
        Shared(
            first=names[one],
            second=names[other],
            num_ids=len(np.intersect1d(ids[one], ids[other])),
            num_captions=len(np.intersect1d(texts[one], texts[other])),
        )
        for one, other in combinations(range(len(names)), 2)
    ]
    return Comparison(sets=tuple(found), shared=tuple(shared))


def _tables(folder: Path, name: str, config: str, columns: list[str]) -> Iterator[pa.Table]:
    files = data_files(file_names(folder), config) if folder.is_dir() else []
    if not files and config == "pretrain":
        raise InputError(f"{name} contains no set", "Name a folder that `unicorn-hf build` made, or ORG/NAME.")
    for file in files:
        yield from DataFile(file, str(folder / file), config, columns).tables()


def _digests(folder: Path, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hashes of the ids, and of the captions' words."""
    ids, texts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for table in _tables(folder, name, "pretrain", ["id", "caption"]):
        ids.append(np.array([stable_int("id", value or "") for value in table.column("id").to_pylist()], np.int64))
        texts.append(np.array([digest_of(value or "") for value in table.column("caption").to_pylist()], np.int64))
    return np.concatenate(ids), np.concatenate(texts)


def _figures(folder: Path, name: str, *, num_duplicates: int) -> SetFigures:
    if not (folder / STATISTICS).is_file():
        return _counted(folder, name, num_duplicates)
    statistics = read_statistics(folder / STATISTICS)
    cost = None
    if run := read_run(folder / RUN):
        price = read_recipe(folder / RECIPE).engine_price
        amount = sum(costs(price, statistics, run).values())
        cost = Cost(seconds=run.seconds, amount=amount, currency=price.currency, machines=run.machines)
    return SetFigures(
        name=name,
        from_statistics=True,
        num_duplicates=num_duplicates,
        cost=cost,
        **{field: getattr(statistics, field) for field in SetFigures.model_fields.keys() & Statistics.model_fields},
    )


def _counted(folder: Path, name: str, num_duplicates: int) -> SetFigures:
    """Count the figures of a set without statistics, in one pass over its rows."""
    figures, diversity = {config: ShardStatistics() for config in CONFIGS}, Diversity()
    for config in CONFIGS:
        columns = [*_COUNTED, "seed", *(["task"] if config == "instruction" else [])]
        for table in _tables(folder, name, config, columns):
            for start in range(0, table.num_rows, _BATCH_ROWS):
                rows = table.slice(start, _BATCH_ROWS)
                figures[config] = ShardStatistics.merged([figures[config], ShardStatistics.of(rows)])
                if config == "pretrain":
                    texts = [[text or "" for text in rows.column(part).to_pylist()] for part in ("caption", "seed")]
                    diversity = Diversity.merged([diversity, Diversity.of(*texts)])
    return SetFigures(
        name=name,
        from_statistics=False,
        **figures,
        caption_words=WordFacts.of(figures["pretrain"].caption_words),
        diversity=diversity.variety,
        num_duplicates=num_duplicates,
    )


Line = tuple[str, list[str]]
"""A label, and a value of each set."""


def lines(comparison: Comparison) -> list[tuple[str, list[Line]]]:
    """The tables by title, without lines that are unknown for all sets."""
    sets, values = comparison.sets, [_values(one, comparison) for one in comparison.sets]
    tables = {title: {label: [of[title][label] for of in values] for label in values[0][title]} for title in values[0]}
    tables["score on real pictures"] = _scores(sets)
    tables["rejected captions"] = _shares([_reasons(one.captions) for one in sets])
    tables["rejected conversations"] = _shares([_reasons(one.instructions) for one in sets])
    tables["tasks"] = _shares([(one.instruction.per_task, one.instruction.num_rows) for one in sets])
    tables["domains"] = _shares([(one.pretrain.per_domain, one.pretrain.num_rows) for one in sets])
    known = [
        (title, [(label, [value or "—" for value in row]) for label, row in rows.items() if any(row)])
        for title, rows in tables.items()
    ]
    return [(title, rows) for title, rows in known if rows]


def _values(one: SetFigures, comparison: Comparison) -> dict[str, dict[str, str]]:
    """The values of a set by title and label, empty if unknown; tables of shares are empty, in their place."""
    words, variety, vectors, gap, cost = one.caption_words, one.diversity, one.representations, one.gap, one.cost
    captions, instructions = one.captions, one.instructions
    stages = [stage for stage in (captions, instructions) if stage]
    return {
        "set": {
            "captions": f"{one.pretrain.num_rows:,}",
            "conversations": f"{one.instruction.num_rows:,}",
            "pairs of turns": f"{one.instruction.num_turns:,}",
            "figures from": STATISTICS if one.from_statistics else "its rows",
            "language model": one.engine or "",
            "encoder": f"{vectors.encoder}, {vectors.dim:,} dimensions" if vectors else "",
            "transfer": vectors.transfer if vectors else "",
        },
        "captions": {
            "words, mean": f"{words.mean:,.1f}",
            "words, median": f"{words.median:,}",
            "words, p5 to p95": f"{words.lower:,} to {words.upper:,}",
            "words, range": f"{words.min:,} to {words.max:,}",
            "vocabulary": f"{variety.vocabulary:,}" if variety else "",
            **{label: f"{getattr(variety, field):.4f}" if variety else "" for label, field in VARIETY.items()},
            "duplicates in the set": _share(one.num_duplicates, one.pretrain.num_rows),
        },
        "the same words": {f"as in {other.name}": _across(comparison, one, other) for other in comparison.sets},
        "the same ids": {f"as in {other.name}": _across(comparison, one, other, ids=True) for other in comparison.sets},
        "rejected": {
            "caption candidates": _share(captions.num_rejected, captions.num_candidates) if captions else "",
            "conversation candidates": _share(instructions.num_rejected, instructions.num_candidates)
            if instructions
            else "",
        },
        "score on real pictures": {},
        "rejected captions": {},
        "rejected conversations": {},
        "cost": {
            "worker hours": f"{cost.seconds / 3600:,.3f}" if cost else "",
            "requests answered": f"{sum(stage.num_requests for stage in stages):,}" if stages else "",
            "tokens": f"{sum(stage.num_tokens for stage in stages):,}" if stages else "",
            "by the recipe's prices": f"{cost.currency} {cost.amount:,.2f}" if cost and cost.amount else "",
            "machines": ", ".join(cost.machines) if cost else "",
        },
        "modality gap": {
            "mean text vector, norm": f"{vectors.text_mean_norm:.4f}" if vectors else "",
            "gap to images, before": f"{gap.before.mean_gap:.4f}" if gap else "",
            "gap to images, after": f"{gap.after.mean_gap:.4f}" if gap else "",
        },
    }


def _scores(sets: Sequence[SetFigures]) -> dict[str, list[str]]:
    """A row for each setting: scores of different settings are not comparable, and stand in different rows."""
    by_setting = [{score.setting: score.shown for score in one.proof} for one in sets]
    return {
        name: [of.get(name, "") for of in by_setting] for name in sorted({name for of in by_setting for name in of})
    }


def _shares(found: Sequence[tuple[dict[str, int], int]]) -> dict[str, list[str]]:
    """A row for each name, the largest share first, from each set's counts by name and their whole."""
    largest = {
        name: max(counts.get(name, 0) / max(whole, 1) for counts, whole in found)
        for name in sorted({name for counts, _ in found for name in counts})
    }
    names = sorted(largest, key=lambda name: -largest[name])
    groups = {name: [name] for name in names[:_MOST]}
    if rest := names[_MOST:]:
        groups[f"{len(rest)} more"] = rest
    return {
        label: [_share(sum(counts.get(name, 0) for name in group), whole) for counts, whole in found]
        for label, group in groups.items()
    }


def _reasons(stage: Counts | None) -> tuple[dict[str, int], int]:
    return (stage.rejected, stage.num_candidates) if stage else ({}, 0)


def _across(comparison: Comparison, one: SetFigures, other: SetFigures, *, ids: bool = False) -> str:
    for pair in comparison.shared:
        if {pair.first, pair.second} == {one.name, other.name}:
            return _share(pair.num_ids if ids else pair.num_captions, one.pretrain.num_rows)
    return ""


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f} %)" if whole else ""


def show(comparison: Comparison, console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column
    from rich.table import Table as Drawn

    names = [Column(_plain(one.name), justify="right", overflow="fold") for one in comparison.sets]
    table = Drawn(Column(overflow="fold"), *names, box=SIMPLE_HEAD, pad_edge=False)
    for title, parts in lines(comparison):
        table.add_section()
        table.add_row(_plain(title, "bold cyan"))
        for label, values in parts:
            table.add_row(_plain(f"  {label}"), *map(_plain, values))
    console.print(table)


def _plain(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(visible(shortened(text, _MAX_CELL)), style)


def _cell(text: str) -> str:
    return text if _FIGURE.fullmatch(text) else as_text(text, _MAX_CELL)


def markdown(comparison: Comparison) -> str:
    tables = []
    for title, parts in lines(comparison):
        head = [title, *(one.name for one in comparison.sets)]
        rows = [head, *([label, *values] for label, values in parts)]
        cells = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
        rule = f"|---|{'--:|' * len(comparison.sets)}"
        tables.append("\n".join([cells[0], rule, *cells[1:]]))
    return "\n\n".join(tables) + "\n"
