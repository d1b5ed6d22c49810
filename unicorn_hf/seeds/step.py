"""Writes seeds to shards: normalised, deduplicated, shuffled by a hash, in bounded memory.

Seeds are sorted by a hash of their text. The first bits of the hash select a bucket, so equal seeds are in the same
bucket, and sorting each bucket sorts all seeds. So sources are mixed in proportion everywhere in the order, and a build
with fewer captions than seeds has the same mixture.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from unicorn_hf.core.choices import SOURCES
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.language import foreign
from unicorn_hf.core.left_out import NAME_ANOTHER, LeftOut, ReadingNotes, nothing_kept
from unicorn_hf.core.recipe import Recipe, Seeds
from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.runtime.files import read_table, rows_table, write_table
from unicorn_hf.runtime.selection import SeedShards
from unicorn_hf.runtime.steps import Record, Step
from unicorn_hf.runtime.storage import remove_tree, scratch
from unicorn_hf.seeds.buckets import Buckets
from unicorn_hf.seeds.figures import SeedFacts, SourceFacts
from unicorn_hf.seeds.language import SAMPLE, check_seed_language
from unicorn_hf.seeds.normalise import normalise
from unicorn_hf.seeds.sources import named_sources

_RECORD = "seeds"
CODE = 3
"""Raise it if the same sources give other seeds."""


class SeedsRecord(Record):
    """Seeds of all sources."""

    partitions: tuple[str, ...]
    """A fingerprint of each shard's seeds, in order."""
    num_seeds: int
    sources: tuple[SourceFacts, ...]
    skipped: dict[str, int]
    """Number of skipped seeds, by reason."""
    left_out: tuple[LeftOut, ...] = ()
    """The skipped seeds with an example for each reason, and unread columns."""
    took: tuple[str, ...] = ()
    """Notes on how the files were read."""

    @property
    def facts(self) -> SeedFacts:
        return SeedFacts(num_seeds=self.num_seeds, sources=self.sources, skipped=self.skipped)


def prepare_seeds(recipe: Recipe, work_dir: Path) -> tuple[SeedShards, SeedsRecord]:
    """Read all sources and write their seeds to shards, or reuse the shards of an earlier run with the same content.

    Raises:
        InputError: a source cannot be read, or none contains a seed: no shard is left behind. Or the seeds of a remote
            source are in another language; `check_sources` checks the others.
    """
    step, inputs = _step(recipe, work_dir)
    record = step.find(_RECORD, inputs, SeedsRecord)
    if record is None:
        try:
            with scratch(step.folder, "buckets") as buckets:
                record = step.finish(_RECORD, _prepare(recipe, step, buckets, inputs))
        except InputError:
            remove_tree(step.folder)
            raise
    paths = tuple(step.shard(_RECORD, kind) for kind in record.num_bytes)
    _check_remote(recipe, paths[0])
    return SeedShards(paths, record.partitions, record.num_seeds), record


def are_prepared(recipe: Recipe, work_dir: Path) -> bool:
    """Whether `prepare_seeds` can reuse an earlier run.

    Raises:
        InputError: a file is missing.
    """
    step, inputs = _step(recipe, work_dir)
    return step.find(_RECORD, inputs, SeedsRecord) is not None


def _step(recipe: Recipe, work_dir: Path) -> tuple[Step, str]:
    # The seeds of another package's source may change with its version.
    inputs = fingerprint([SOURCES.with_version(source.content(), source.kind) for source in recipe.seeds.used])
    return Step.of(work_dir, "seeds", recipe.seeds, recipe.random_seed, recipe.partition_rows, CODE), inputs


def check_sources(config: Seeds, languages: Sequence[str]) -> None:
    """Check the first seeds of each local source: it is readable, and in one of the recipe's languages.

    Raises:
        InputError: a file is missing, empty, of an unknown kind, lacks the column, or is in another language.
    """
    for source in config.used:
        if source.is_remote:
            continue
        first = list(islice(source.read(0, ReadingNotes()), 1 if config.languages else SAMPLE))
        if not first:
            raise InputError(f"no seeds in {source.place}: it is empty", NAME_ANOTHER)
        if not config.languages:
            check_seed_language(source.place, map(normalise, first), languages)


def _check_remote(recipe: Recipe, shard: Path) -> None:
    if recipe.seeds.languages:
        return
    remote = [name for name, source in named_sources(recipe.seeds.used) if source.is_remote]
    rows = read_table(shard, SEEDS, ["seed", "source"]).to_pylist() if remote else []
    for name in remote:
        check_seed_language(name, [row["seed"] for row in rows if row["source"] == name], recipe.language)


def _prepare(recipe: Recipe, step: Step, folder: Path, inputs: str) -> SeedsRecord:
    config, random_seed = recipe.seeds, recipe.random_seed
    skipped, notes = Counter[str](), ReadingNotes()
    sources = named_sources(config.used)
    with Buckets(folder, ("seed", "source", "domain")) as buckets:
        for name, source in sources:
            notes.place = None
            for number, text in enumerate(source.read(random_seed, notes), start=1):
                seed = normalise(text)
                if reason := _skip(seed, config):
                    skipped[reason] += 1
                    notes.leave("seeds", reason, notes.place or f"{name}, seed {number}", text)
                else:
                    buckets.add(_order(random_seed, seed), (seed, name, source.domain))
    partitions: list[str] = []
    per_source: Counter[str] = Counter()
    seeds = _sorted_rows(config, buckets, random_seed, skipped, notes)
    while rows := list(islice(seeds, recipe.partition_rows)):
        write_table(step.shard(_RECORD, f"{len(partitions):05d}"), rows_table(rows, SEEDS), SEEDS)
        partitions.append(fingerprint([row["seed"] for row in rows]))
        per_source.update(str(row["source"]) for row in rows)
    if not partitions:
        names = ", ".join(source.place for _, source in sources)
        raise nothing_kept(f"no seeds in {names}", notes.left_out)
    return SeedsRecord(
        inputs=inputs,
        num_bytes=step.sizes(_RECORD, *(f"{shard:05d}" for shard in range(len(partitions)))),
        partitions=tuple(partitions),
        num_seeds=per_source.total(),
        sources=tuple(
            SourceFacts(
                name=name,
                domain=source.domain,
                license=source.license,
                num_seeds=per_source[name],
                benchmark=source.benchmark,
            )
            for name, source in sources
        ),
        skipped=dict(sorted(skipped.items())),
        left_out=notes.left_out,
        took=tuple(notes.took),
    )


def _skip(seed: str, config: Seeds) -> str | None:
    """Why a seed is skipped; None if it is kept."""
    if not seed:
        return "blank"
    if len(seed) < config.min_characters:
        return "too_short"
    if len(seed) > config.max_characters:
        return "too_long"
    return "language" if config.languages and foreign(seed, config.languages) else None


def _quotas(config: Seeds, buckets: Buckets) -> dict[str, int]:
    """The maximum number of seeds of each source with a weight that keeps the weights in proportion."""
    weights = {name: source.weight for name, source in named_sources(config.used) if source.weight is not None}
    if not weights:
        return {}
    num_seeds: Counter[str] = Counter()
    for bucket in buckets:
        num_seeds.update(source for source, _ in _distinct(bucket)[0].values())
    least = min(num_seeds[name] / weight for name, weight in weights.items())
    return {name: round(least * weight) for name, weight in weights.items()}


def _sorted_rows(
    config: Seeds, buckets: Buckets, random_seed: int, skipped: Counter[str], notes: ReadingNotes
) -> Iterator[dict[str, object]]:
    quotas = _quotas(config, buckets)
    given: Counter[str] = Counter()
    for bucket in buckets:
        first, num_duplicates, again = _distinct(bucket)
        if again:
            skipped["duplicate"] += num_duplicates
            notes.leave("seeds", "duplicate", again[1], again[0], num=num_duplicates)
        for seed in sorted(first, key=lambda seed: (_order(random_seed, seed), seed)):
            source, domain = first[seed]
            if given[source] == quotas.get(source):
                skipped["beyond_weight"] += 1
                notes.leave("seeds", "beyond_weight", source, seed)
                continue
            given[source] += 1
            yield {"seed": seed, "source": source, "domain": domain}


def _distinct(bucket: Iterable[tuple[str, ...]]) -> tuple[dict[str, tuple[str, str]], int, tuple[str, str] | None]:
    """Source and domain of each seed of a bucket, from the first source that has it; the number of duplicates, and the
    first duplicate with its source."""
    first: dict[str, tuple[str, str]] = {}
    num_duplicates, again = 0, None
    for seed, source, domain in bucket:
        if seed in first:
            num_duplicates += 1
            again = again or (seed, source)
        first.setdefault(seed, (source, domain))
    return first, num_duplicates, again


def _order(random_seed: int, seed: str) -> int:
    return stable_int(str(random_seed), "order", seed)
