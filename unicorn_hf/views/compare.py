"""Compare data sets: figures from their statistics, or from their rows if there are none, and what they share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from unicorn_hf.builders.diversity import Diversity, Variety
from unicorn_hf.builders.figures import RowFigures, ShardStatistics, WordFacts
from unicorn_hf.builders.places import CONFIGS, data_files
from unicorn_hf.builders.repository import RECIPE, RUN, STATISTICS
from unicorn_hf.builders.sketch import Common, Hashes, Overlaps, Share, Sketch, num_shared
from unicorn_hf.builders.unicorn import DataFile
from unicorn_hf.captions.step import digest_of
from unicorn_hf.cards.costs import costs, read_run
from unicorn_hf.cards.scores import Score
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe_file import read_recipe
from unicorn_hf.hub.copies import nearest
from unicorn_hf.hub.fetch import COMPARED, FIGURES, local_folder
from unicorn_hf.hub.published import PublishedSet
from unicorn_hf.representations.figures import GapFacts, RepresentationFacts
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.runtime.progress import Progress

_BATCH_ROWS = 1000
_MOST_NEAREST = 10
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
    num_duplicates: int | None = None
    """Captions with the same words as an earlier one in the set; None if its rows were not read."""
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
    """What two sets have in common."""

    first: str
    second: str
    num_ids: int | None = None
    """None if the rows of one were not read."""
    num_captions: int | None = None
    """Different captions of the first set with the same words as one of the second; None like `num_ids`."""
    of_first: Common
    """The shares of the first set that the second has: exact from rows, else from the sketches."""
    of_second: Common


class Comparison(BaseModel):
    sets: tuple[SetFigures, ...]
    shared: tuple[Shared, ...]
    nearest_to: str | None = None
    """The first set, if the others are the published ones that `compare_published` found nearest to it."""

    def common(self, one: SetFigures, other: SetFigures) -> Common:
        """What `one` has in common with `other`."""
        pair = self.pair(one, other)
        return (pair.of_first if pair.first == one.name else pair.of_second) if pair else Common()

    def pair(self, one: SetFigures, other: SetFigures) -> Shared | None:
        """What two sets have in common; None if they are one."""
        return self._pairs.get(frozenset((one.name, other.name)))

    @cached_property
    def _pairs(self) -> dict[frozenset[str], Shared]:
        return {frozenset((pair.first, pair.second)): pair for pair in self.shared}


@dataclass(frozen=True)
class _Rows:
    """Different hashes of ids, and of captions' words."""

    ids: Hashes
    texts: Hashes


@dataclass(frozen=True)
class _Set:
    figures: SetFigures
    sketch: Sketch | None
    rows: _Rows | None = None


def set_folder(source: str) -> Path:
    """Return the folder `source`, or download the set from the Hub: its rows only if it has no sketch.

    Raises:
        InputError, RunError: like `hub.fetch.local_folder`.
    """
    folder = local_folder(source, patterns=FIGURES)
    statistics = _statistics(folder)
    if Path(source).is_dir() or (statistics and statistics.known_sketch):
        return folder
    return local_folder(source, patterns=COMPARED)


def compare(folders: Sequence[Path], names: Sequence[str], progress: Progress) -> Comparison:
    """Collect the figures of two or more sets, with about 70 bytes of memory per caption whose row is read.

    Args:
        folders: folders of built sets, or of the original release. Rows may be missing if there is a sketch.
        names: names of the sets; equal ones get numbers.
        progress: shows how many sets are done.

    Raises:
        InputError: a folder contains no readable set, or there is only one.
    """
    if len(folders) < 2:
        raise InputError("a comparison requires at least two sets")
    names = [f"{name} ({names[: at + 1].count(name)})" if name in names[:at] else name for at, name in enumerate(names)]
    progress.start("compare", len(folders), unit="sets")
    found: list[_Set] = []
    for folder, name in zip(folders, names, strict=True):
        found.append(_read(folder, name))
        progress.known(len(found), 0)
    progress.finish()
    return _comparison(found)


def compare_published(folder: Path, name: str, published: Sequence[PublishedSet]) -> Comparison:
    """Compare a set with the published ones that share most of its captions, ten at most, by their statistics.

    Raises:
        InputError: the folder contains no readable set.
    """
    own = _read(folder, name)
    others = [one for one in published if one.name != name]
    near = nearest(own.sketch, others)[:_MOST_NEAREST] if own.sketch else []
    found = [own, *(_Set(_told(one.name, one.statistics), one.statistics.sketch) for one, _ in near)]
    return _comparison(found).model_copy(update={"nearest_to": name})


def _comparison(found: Sequence[_Set]) -> Comparison:
    overlaps = Overlaps([one.sketch for one in found])
    rows = {at: one.rows for at, one in enumerate(found) if one.rows}
    place = {at: number for number, at in enumerate(rows)}
    ids, texts = num_shared([one.ids for one in rows.values()]), num_shared([one.texts for one in rows.values()])
    shared: list[Shared] = []
    for one, other in combinations(range(len(found)), 2):
        pair = Shared(
            first=found[one].figures.name,
            second=found[other].figures.name,
            of_first=overlaps.of(one, other),
            of_second=overlaps.of(other, one),
        )
        if one in place and other in place:
            first, second = place[one], place[other]
            num = int(texts[first, second])
            exact = [Share.of(num, int(texts[at, at]), is_exact=True) for at in (first, second)]
            pair = pair.model_copy(
                update={
                    "num_ids": int(ids[first, second]),
                    "num_captions": num,
                    "of_first": replace(pair.of_first, captions=exact[0]),
                    "of_second": replace(pair.of_second, captions=exact[1]),
                }
            )
        shared.append(pair)
    return Comparison(sets=tuple(one.figures for one in found), shared=tuple(shared))


def _statistics(folder: Path) -> Statistics | None:
    return read_statistics(folder / STATISTICS) if (folder / STATISTICS).is_file() else None


def _read(folder: Path, name: str) -> _Set:
    statistics = _statistics(folder)
    sketch = statistics.known_sketch if statistics else None
    if statistics and sketch and not data_files(folder, "pretrain"):
        return _Set(_figures(folder, name, statistics), sketch)
    counted, ids, texts = Sketch(), list[Hashes](), list[Hashes]()
    for table in _tables(folder, name, "pretrain", ["id", "caption"]):
        captions = [value or "" for value in table.column("caption").to_pylist()]
        ids.append(np.array([stable_int("id", value or "") for value in table.column("id").to_pylist()], np.uint64))
        texts.append(np.array([digest_of(caption) for caption in captions], np.uint64))
        if not sketch:
            counted = Sketch.merged([counted, Sketch.of(captions)])
    rows = _Rows(*(np.unique(np.concatenate([*parts, np.zeros(0, np.uint64)])) for parts in (ids, texts)))
    num_duplicates = sum(map(len, texts)) - len(rows.texts)
    figures = _figures(folder, name, statistics) if statistics else _counted(folder, name)
    return _Set(figures.model_copy(update={"num_duplicates": num_duplicates}), sketch or counted, rows)


def _tables(folder: Path, name: str, config: str, columns: list[str]) -> Iterator[pa.Table]:
    files = data_files(folder, config) if folder.is_dir() else []
    if not files and config == "pretrain":
        raise InputError(f"{name} contains no set", "Name a folder that `unicorn-hf build` made, or ORG/NAME.")
    for file in files:
        yield from DataFile(file, str(folder / file), config, columns).tables()


def _figures(folder: Path, name: str, statistics: Statistics) -> SetFigures:
    cost = None
    if run := read_run(folder / RUN):
        price = read_recipe(folder / RECIPE).engine_price
        amount = sum(costs(price, statistics, run).values())
        cost = Cost(seconds=run.seconds, amount=amount, currency=price.currency, machines=run.machines)
    return _told(name, statistics, cost)


def _told(name: str, statistics: Statistics, cost: Cost | None = None) -> SetFigures:
    return SetFigures(
        name=name,
        from_statistics=True,
        cost=cost,
        **{field: getattr(statistics, field) for field in SetFigures.model_fields.keys() & Statistics.model_fields},
    )


def _counted(folder: Path, name: str) -> SetFigures:
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
    )
