"""The tables of a comparison, for the terminal and in Markdown.

Names and labels of sets are shown as text: markup in them has no effect.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unicorn_hf.builders.overlap import RUN_WORDS
from unicorn_hf.builders.repository import STATISTICS
from unicorn_hf.builders.sketch import Share
from unicorn_hf.cards.formats import percent
from unicorn_hf.cards.text import as_text
from unicorn_hf.core.units import duration
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.views.compare import VARIETY, Comparison, SetFigures
from unicorn_hf.views.tables import Folded, described, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_MOST = 12
"""Tasks, domains and reasons that get their own line."""
_MAX_COLUMNS = 4
"""Sets that get a column each in the terminal, if it is wide enough; more of them get a row each."""
_LABEL_WIDTH, _COLUMN_WIDTH = 28, 16
"""Of the labels, and at least of a set's column with the blanks beside it."""
_ORIGIN = "origin"
"""The table of texts. In the terminal, they stand above the figures, each once."""
_MAX_CELL = 80
_FIGURE = re.compile(
    r"[\d,.]+( \([\d.]+ %\))?|[\d,]+ to [\d,]+|[\d.]+ % \[[\d.]+, [\d.]+\]|[\d.]+ %( \([\d.]+ to [\d.]+\))?|—"
)
"""Cells that need no escape in Markdown."""

Line = tuple[str, list[str]]
"""A label, and a value of each set."""


def lines(comparison: Comparison, names: Sequence[str] = ()) -> list[tuple[str, list[Line]]]:
    """The tables by title, without lines that are unknown for all sets. Labels contain `names`, or else the sets'."""
    sets = comparison.sets
    names = names or [one.name for one in sets]
    values = [_values(one, comparison, names) for one in sets]
    tables = {title: {label: [of[title][label] for of in values] for label in values[0][title]} for title in values[0]}
    tables["score on real images"] = _scores(sets)
    tables["rejected captions"] = _shares([_reasons(one.captions) for one in sets])
    tables["rejected conversations"] = _shares([_reasons(one.instructions) for one in sets])
    tables["tasks"] = _shares([(one.instruction.per_task, one.instruction.num_rows) for one in sets])
    tables["domains"] = _shares([(one.pretrain.per_domain, one.pretrain.num_rows) for one in sets])
    known = [
        (title, [(label, [value or "—" for value in row]) for label, row in rows.items() if any(row)])
        for title, rows in tables.items()
    ]
    return [(title, rows) for title, rows in known if rows]


def _values(one: SetFigures, comparison: Comparison, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The values of a set by title and label, empty if unknown; tables of shares are empty, in their place."""
    words, variety, vectors, gap, cost = one.caption_words, one.diversity, one.representations, one.gap, one.cost
    captions, instructions = one.captions, one.instructions
    stages = [stage for stage in (captions, instructions) if stage]
    others = dict(zip((f"as in {name}" for name in names), comparison.sets, strict=True))
    return {
        "set": {
            "captions": f"{one.pretrain.num_rows:,}",
            "conversations": f"{one.instruction.num_rows:,}",
            "pairs of turns": f"{one.instruction.num_turns:,}",
        },
        _ORIGIN: {
            "figures": f"from {STATISTICS if one.from_statistics else 'its rows'}",
            "language model": one.engine or "",
            "encoder": f"{vectors.encoder}, {vectors.dim:,} dimensions" if vectors else "",
            "transfer": vectors.transfer if vectors else "",
            "machines": ", ".join(cost.machines) if cost else "",
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
        "the same words": {label: _same_words(comparison, one, other) for label, other in others.items()},
        f"the same runs of {RUN_WORDS} words": {
            label: _words(comparison.common(one, other).runs) for label, other in others.items()
        },
        "the same ids": {label: _same_ids(comparison, one, other) for label, other in others.items()},
        "rejected": {
            "caption candidates": _share(*_rejected(captions)),
            "conversation candidates": _share(*_rejected(instructions)),
        },
        "score on real images": {},
        "rejected captions": {},
        "rejected conversations": {},
        "cost": {
            "worker time": duration(cost.seconds) if cost else "",
            "requests answered": _number(sum(stage.num_requests for stage in stages)),
            "tokens": _number(sum(stage.num_tokens for stage in stages)),
            "by the recipe's prices": f"{cost.currency} {cost.amount:,.2f}" if cost and cost.amount else "",
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


def _rejected(stage: Counts | None) -> tuple[int, int]:
    """Rejected candidates and all; no candidates if the text came from elsewhere and was taken as it was."""
    if stage and (stage.num_requests or stage.num_rejected):
        return stage.num_rejected, stage.num_candidates
    return 0, 0


def _number(number: int) -> str:
    return f"{number:,}" if number else ""


def _reasons(stage: Counts | None) -> tuple[dict[str, int], int]:
    return (stage.rejected, stage.num_candidates) if stage else ({}, 0)


def _same_words(comparison: Comparison, one: SetFigures, other: SetFigures) -> str:
    pair = comparison.pair(one, other)
    if pair and pair.num_captions is not None:
        return _share(pair.num_captions, one.pretrain.num_rows)
    return _words(comparison.common(one, other).captions)


def _same_ids(comparison: Comparison, one: SetFigures, other: SetFigures) -> str:
    pair = comparison.pair(one, other)
    return _share(pair.num_ids, one.pretrain.num_rows) if pair else ""


def _words(share: Share | None) -> str:
    return share.words if share else ""


def _share(part: int | None, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f} %)" if part is not None and whole else ""


def show(comparison: Comparison, console: "Console") -> None:
    """Print the tables: a column for each set, or a row with the main figures if there are many."""
    most = min(_MAX_COLUMNS, (console.width - _LABEL_WIDTH) // _COLUMN_WIDTH)
    if len(comparison.sets) > most or comparison.nearest_to is not None:
        _show_rows(comparison, console)
    else:
        _show_columns(comparison, console)


Cell = tuple[str, str]
"""A value, and what stands in small below it; both empty if unknown."""


def _show_rows(comparison: Comparison, console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Column
    from rich.table import Table as Drawn

    rows = [_main(number, one, comparison) for number, one in enumerate(comparison.sets, 1)]
    labels = [label for label in rows[0] if any(row[label][0] for row in rows)]
    # Figures keep their width; names are folded into the rest of it.
    columns = [Column(label) if label == "set" else Column(label, justify="right", no_wrap=True) for label in labels]
    table = Drawn(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        cells = [(value or "—", below) for value, below in (row[label] for label in labels)]
        table.add_row(*(Group(_value(value), *([_cut(below, "dim")] if below else [])) for value, below in cells))
    console.print(table)
    console.print("All figures, and those of each pair of sets: --markdown or --json.")


def _main(number: int, one: SetFigures, comparison: Comparison) -> dict[str, Cell]:
    """The main figures of a set by label."""
    vectors, conversations = one.representations, one.instruction.num_rows
    made_by = [(one.engine or "").rpartition("/")[2], vectors.encoder.rpartition("/")[2] if vectors else ""]
    return {
        "": (f"{number}", ""),
        "set": (one.name, ", ".join(filter(None, made_by))),
        "captions\nconv.": (f"{one.pretrain.num_rows:,}", f"{conversations:,}" if conversations else ""),
        "words": (f"{one.caption_words.median:,}", ""),
        **(_varied(one, comparison) if comparison.nearest_to is None else _nearest(one, comparison)),
    }


def _varied(one: SetFigures, comparison: Comparison) -> dict[str, Cell]:
    """Diversity, rejections, and the set that has most of this one's captions."""
    others = {number: comparison.common(one, other).largest for number, other in enumerate(comparison.sets, 1)}
    number = max(others, key=lambda number: others[number])
    num_rejected, num_candidates = _rejected(one.captions)
    rejected = percent(num_rejected, num_candidates) if num_candidates else ""
    return {
        "distinct\n-2": (f"{one.diversity.distinct_2:.3f}" if one.diversity else "", ""),
        "rejected": (rejected, ""),
        "most\nin set": (f"{100 * others[number]:.1f} %", f"in {number}") if others[number] else ("", ""),
    }


def _nearest(one: SetFigures, comparison: Comparison) -> dict[str, Cell]:
    """What a set has of `nearest_to`, which is the first one."""
    common = comparison.common(comparison.sets[0], one)
    return {f"{name}\nof 1": _interval(share) for name, share in (("captions", common.captions), ("runs", common.runs))}


def _interval(share: Share | None) -> Cell:
    value, _, interval = _words(share).partition(" (")
    return value, interval.removesuffix(")")


def _show_columns(comparison: Comparison, console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.padding import Padding
    from rich.table import Column
    from rich.table import Table as Drawn

    names = {str(number): one.name for number, one in enumerate(comparison.sets, 1)}
    tables = dict(lines(comparison, list(names)))
    texts = {label: text for of in tables.pop(_ORIGIN) for label, text in _grouped(*of)}
    console.print(described(names | texts))
    heads = [Column(_cut(f"{number} {name}"), justify="right") for number, name in names.items()]
    table = Drawn(
        Column(max_width=_LABEL_WIDTH, no_wrap=True), *heads, box=SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for title, parts in tables.items():
        table.add_section()
        table.add_row(plain(title, "bold cyan"))
        for label, values in parts:
            table.add_row(Padding(_value(label), (0, 0, 0, 2)), *map(_value, values))
    console.print()
    console.print(table)


def _grouped(label: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Each known value once, its label with the numbers of its sets unless all have it."""
    numbers: dict[str, list[str]] = {}
    for number, value in enumerate(values, 1):
        numbers.setdefault(value, []).append(str(number))
    labels = {value: f"{label} of {', '.join(of)}" if len(numbers) > 1 else label for value, of in numbers.items()}
    return [(label, value) for value, label in labels.items() if value != "—"]


def _cut(text: str, style: str = "") -> "Text":
    """A text in one line, cut where the column ends."""
    found = plain(text, style, limit=_MAX_CELL)
    found.no_wrap, found.overflow = True, "ellipsis"
    return found


def _value(text: str) -> Folded:
    return Folded(text, limit=_MAX_CELL)


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
