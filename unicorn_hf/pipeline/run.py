"""A build, from top to bottom: seeds, captions, conversations, representations, packaging, published folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unicorn_hf.builders.package import package
from unicorn_hf.builders.reuse import remember
from unicorn_hf.cards.charts import load_matplotlib
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.errors import InputError, RunError, UnicornError
from unicorn_hf.core.languages import remarks
from unicorn_hf.core.recipe import Price, Recipe
from unicorn_hf.hub.access import check_access
from unicorn_hf.hub.options import DEFAULTS, PushOptions
from unicorn_hf.hub.push import PushResult
from unicorn_hf.pipeline.earlier import earlier_work
from unicorn_hf.pipeline.events import EngineBuilt, Events
from unicorn_hf.pipeline.parts import Parts, resolve
from unicorn_hf.pipeline.planning import Plan, check_disk, plan
from unicorn_hf.pipeline.publish import Examples, Published, publish, push_dataset
from unicorn_hf.pipeline.text import Text, imported, tell
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.files import DamagedShardError, disk_errors
from unicorn_hf.runtime.journal import Journal
from unicorn_hf.runtime.launch import count_workers
from unicorn_hf.runtime.limits import Budget
from unicorn_hf.runtime.locks import exclusive, is_open_to_others
from unicorn_hf.runtime.progress import NoProgress, Progress
from unicorn_hf.runtime.steps import Step
from unicorn_hf.seeds.step import check_prepared, prepare_seeds


@dataclass(frozen=True)
class BuildResult:
    """What a build made, and where."""

    out: Path
    """The published folder."""
    statistics: Statistics
    examples: Examples
    """The first rows of each config, without their embeddings."""
    engines: tuple[EngineBuilt, ...]
    """Every engine that was built for it: none where all was found done."""
    pushed: PushResult | None = None


def build(
    recipe: Recipe,
    out: str | Path = "unicorn",
    *,
    work_dir: str | Path | None = None,
    answers: str | Path | None = None,
    push: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    max_cost: float | None = None,
    max_hours: float | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Make the data sets that a recipe describes; what an earlier run of the same recipe did is found and used.

    Worker processes are started: a script must call this under `if __name__ == "__main__":`.

    Args:
        recipe: see `load_recipe`.
        out: the folder to publish; it appears when it is whole. A build of ours that is there already is replaced.
        work_dir: stored answers, shards and records; beside `out`, with `.work` added, unless given. It is never
            published, and another build with the same folder goes on from what it holds. A path, or a URL of fsspec.
        answers: where answers of models are stored and found; `answers` in the work folder unless given. A path, or a
            URL of fsspec; any number of builds may use it at once.
        push: `ORG/NAME`, a repository of the Hub that the folder is pushed to at the end. What stands against that is
            looked for at the start, and told to `progress`: the build runs all the same.
        private: whether the repository is made private, if the push creates it.
        overwrite: whether card and data of a repository that unicorn-hf did not make are replaced.
        max_cost: by the recipe's price, of all runs of the build together; see `Budget`.
        max_hours: of this run.
        progress: is told how far the build is.

    Raises:
        InputError: what is asked for cannot be; nothing is written.
        RunError: disk, engine, budget, too many rejections, or the push at the end; the work done so far is kept.
    """
    planned = plan(recipe, out, work_dir, answers)
    options = PushOptions(private=private, overwrite=overwrite)
    return execute(planned, push=push, options=options, max_cost=max_cost, max_hours=max_hours, progress=progress)


def execute(
    planned: Plan,
    *,
    push: str | None = None,
    options: PushOptions = DEFAULTS,
    max_cost: float | None = None,
    max_hours: float | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Do what is planned, and push it; see `build`."""
    progress = progress or NoProgress()
    if max_cost is not None and planned.recipe.price == Price():
        raise InputError(
            "--max-cost needs a price, and the recipe has none", "For example: --set price.per_worker_hour=2.5"
        )
    if push and (problem := check_access(push, options, folder=planned.told_out)):
        progress.note(f"warning: as things stand, the push at the end will fail: {problem}")
    parts = resolve(planned, progress)
    with exclusive(planned.work_dir), disk_errors():
        check_disk(planned)
        _warn(planned, progress)
        store = None if planned.recipe.takes_text else parts.answers
        with Journal(planned.work_dir, progress, recipe=planned.recipe.name, out=planned.out, answers=store) as journal:
            result = _with_workers(parts, journal, max_cost, max_hours)
    if not push:
        return result
    try:
        return replace(result, pushed=push_dataset(planned.told_out, push, options, progress=progress))
    except UnicornError as error:
        raise RunError(
            f"the data set is whole in {planned.told_out}, but not pushed: {error.message}", error.advice
        ) from error


def _warn(planned: Plan, progress: Progress) -> None:
    if planned.place.warning:
        progress.note(f"warning: {planned.place.warning}")
    if is_open_to_others(planned.work_dir):
        progress.note(
            f"warning: other users can read the work folder {planned.work_dir}, which holds things of yours too:"
            f" chmod 700 {planned.work_dir}, or another --work-dir"
        )


def _with_workers(parts: Parts, journal: Journal, max_cost: float | None, max_hours: float | None) -> BuildResult:
    for line in earlier_work(parts):
        journal.note(line)
    recipe, generator, place = parts.recipe, parts.generator, parts.plan.place
    if generator.engine.is_shared:
        generator = generator.for_one_of(count_workers(place))
        parts = replace(parts, generator=generator)
    events = Events(parts.plan, journal, max_cost)
    opened = open_pool(
        place,
        generator.environment,
        events,
        jobs_at_once=generator.engine.partitions_at_once(recipe.partition_rows),
        folder=parts.work_dir,
        job_timeout_s=recipe.cluster.partition_timeout_s,
    )
    with opened as workers:
        pool = Budget(workers, recipe.price, max_cost, max_hours)
        published = _undamaged(lambda: _stages(parts, pool, journal), pool, journal)
    return BuildResult(parts.plan.out, published.statistics, published.examples, tuple(events.engines))


def _stages(parts: Parts, pool: WorkerPool, progress: Progress) -> Published:
    """From the recipe to the published folder. What is found done is not done again."""
    text = imported(parts, progress) if parts.recipe.takes_text else _written(parts, pool, progress)
    captions, instructions = text.captions.picked, text.instructions.picked
    vectors = parts.representations(text.recipe, captions, text.vectors).run(pool, progress)
    load_matplotlib()  # Workers package meanwhile.
    packaged = package(text.recipe, captions, instructions, vectors, parts.work_dir, pool, progress)
    return publish(parts, text, vectors, packaged)


def _written(parts: Parts, pool: WorkerPool, progress: Progress) -> Text:
    """Seeds, the captions that the engine writes of them, and its conversations about these."""
    recipe = parts.recipe
    seeds, record = prepare_seeds(
        recipe.seeds, random_seed=recipe.random_seed, partition_rows=recipe.partition_rows, work_dir=parts.work_dir
    )
    check_prepared(recipe.seeds, seeds, recipe.language)
    for remark in remarks(recipe.language):
        progress.note(remark)
    remember(parts.work_dir, recipe)  # Not before: of a recipe that cannot be built nothing is left.
    tell(record.took, record.left_out, progress)
    captions = parts.captions(recipe, seeds).run(pool, progress)
    instructions = parts.instructions(recipe, captions.picked).run(pool, progress)
    return Text(recipe, captions, instructions, record.facts, recipe.engine.model_license(), record.left_out)


def _undamaged(make: Callable[[], Published], pool: Budget, journal: Journal) -> Published:
    """What `make` gives, begun again where a shard turns out to be damaged: that one is made again."""
    made_again: set[Path] = set()
    while True:
        try:
            return make()
        except DamagedShardError as error:
            # Whatever it was made from is found, so starting over costs a look at each record.
            if error.path in made_again:
                raise
            made_again.add(error.path)
            journal.note(f"{error.message}: it is made again")
            Step.forget(error.path)
            pool.start_over()
