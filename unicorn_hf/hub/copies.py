"""Find published sets that share captions with a set, by their sketches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.builders.overlap import RUN_WORDS
from unicorn_hf.builders.repository import RECIPE, STATISTICS
from unicorn_hf.builders.sketch import Common, Overlaps, Sketch
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.core.errors import InputError, UnicornError
from unicorn_hf.hub.access import CHECK_TIMEOUT_S
from unicorn_hf.hub.published import PublishedSet, published_sets, read_recipe_facts
from unicorn_hf.runtime.progress import Progress

MOST_SETS = 200
LIMIT_S = 30.0
NEAR_SHARE = 0.5
"""A set with a larger share of the captions, or of their runs of words, is a near copy."""
_MOST_COPIES = 3


@dataclass(frozen=True)
class NearCopy:
    """A set of another repository that has most of a set's captions."""

    name: str
    common: Common

    @property
    def words(self) -> str:
        return f"a near copy of {self.name}: {common_words(self.common)} are in it"


def common_words(common: Common) -> str:
    """The shares of a set that another has, such as `98.3 % (97.6 to 98.8) of the captions`."""
    parts = {"captions": common.captions, f"runs of {RUN_WORDS} words": common.runs}
    return " and ".join(f"{share.words} of the {name}" for name, share in parts.items() if share)


def nearest(sketch: Sketch, sets: Sequence[PublishedSet]) -> list[tuple[PublishedSet, Common]]:
    """The sets that have something in common with a sketch, and what; those with the largest share first."""
    # Each set with the sketch alone: many equal sets would take long with one another.
    found = [(one, Overlaps([sketch, one.statistics.sketch]).of(0, 1)) for one in sets]
    return sorted((pair for pair in found if pair[1].largest), key=lambda pair: -pair[1].largest)


def shared_between(sets: Sequence[PublishedSet]) -> Iterator[tuple[PublishedSet, PublishedSet, Common]]:
    """Each set with each other one that it has something in common with, and what share of the first set that is."""
    overlaps = Overlaps([one.statistics.sketch for one in sets])
    for one, other in overlaps.pairs():
        yield sets[one], sets[other], overlaps.of(one, other)


def near_copies(folder: Path, repo_id: str, progress: Progress) -> tuple[NearCopy, ...]:
    """Return the sets of other repositories that have most of a built folder's captions, at most three.

    Reads the statistics of the `MOST_SETS` sets that changed last, and begins no further one after `LIMIT_S` seconds.
    If the Hub does not list them, a note says so. The set whose text the recipe keeps is no copy: the card names it.
    """
    try:
        sketch, recipe = read_statistics(folder / STATISTICS).sketch, read_recipe_facts(folder / RECIPE)
    except InputError:
        return ()
    if sketch is None:
        progress.note(
            f"no search for near copies: {STATISTICS} is of an earlier version and has no sketch of the captions"
        )
        return ()
    known = {repo_id.lower()}
    if recipe.parent and recipe.parent.text == "kept":
        known.add(recipe.parent.dataset.lower())
    try:
        found = published_sets(most=MOST_SETS, timeout_s=CHECK_TIMEOUT_S, limit_s=LIMIT_S)
    except Exception as error:  # noqa: BLE001 - a Hub that does not list sets must not stop the push
        why = error.message if isinstance(error, UnicornError) else type(error).__name__
        progress.note(f"the published sets were not searched for near copies: {why}")
        return ()
    if unknown := found.num_without_sketch:
        progress.note(
            f"published sets without a sketch that this version knows, not searched for near copies: {unknown:,}"
        )
    others = [one for one in found.sets if one.name.lower() not in known]
    near = [(one, common) for one, common in nearest(sketch, others) if common.largest > NEAR_SHARE]
    return tuple(NearCopy(one.name, common) for one, common in near[:_MOST_COPIES])
