"""Runs a build: seeds, captions, conversations, representations, packaging, built folder."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unicorn_hf.builders.package import package
from unicorn_hf.cards.charts import load_matplotlib
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.errors import InputError, RunError, UnicornError
from unicorn_hf.core.languages import remarks
from unicorn_hf.core.recipe import Price, Recipe
from unicorn_hf.hub.access import check_access
from unicorn_hf.hub.consent import encoder_problem
from unicorn_hf.hub.options import DEFAULTS, PushOptions
from unicorn_hf.hub.push import PushResult
from unicorn_hf.pipeline.batches import BatchPool, batches_of
from unicorn_hf.pipeline.earlier import earlier_work, remember
from unicorn_hf.pipeline.events import EngineBuilt, Events
from unicorn_hf.pipeline.parts import Parts, resolve
from unicorn_hf.pipeline.planning import Plan, check_disk, plan
from unicorn_hf.pipeline.publish import Examples, publish, push_dataset
from unicorn_hf.pipeline.text import Text, imported, tell
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.files import DamagedShardError, disk_errors
from unicorn_hf.runtime.journal import Journal
from unicorn_hf.runtime.launch import count_workers
from unicorn_hf.runtime.limits import Budget
from unicorn_hf.runtime.locks import exclusive, is_open_to_others
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.storage import is_remote
from unicorn_hf.seeds.step import prepare_seeds

_HOUR_S = 3600


@dataclass(frozen=True)
class BuildResult:
    """The result of a build."""

    out: Path
    statistics: Statistics
    examples: Examples
    engines: tuple[EngineBuilt, ...] = ()
    """Every engine that this run built: none if all work was done before."""
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
    wait: bool = True,
    progress: Progress | None = None,
) -> BuildResult:
    """Build the data set that a recipe describes; resumes earlier runs of the same recipe.

    This starts worker processes: a script must call it under `if __name__ == "__main__":`.

    Args:
        recipe: see `load_recipe`.
        out: the folder to publish, by an atomic rename at the end. It replaces an earlier build.
        work_dir: the folder for stored answers, shards and records, a path or an fsspec URL; by default `out` with
            `.work` added. It is never published, and another build with the same folder reuses its content.
        answers: the store for model answers, a path or an fsspec URL; by default `answers` in the work folder. Any
            number of builds can use it at once.
        push: `ORG/NAME`, the Hub repository to push the folder to at the end. Obstacles are checked at the start and
            reported to `progress`, but do not stop the build.
        private: make the repository private if the push creates it.
        overwrite: replace card and data of a repository that unicorn-hf did not make.
        max_cost: limit for all runs of the build together, at the recipe's price; see `Budget`.
        max_hours: limit for this run.
        wait: whether to wait for the batches of the engine `batch`; else submit them, and raise `WaitingError`.
        progress: reports progress.

    Raises:
        InputError: the request cannot be met; nothing is written.
        RunError: disk, engine, budget, too many rejections, or the final push; finished work is kept.
        WaitingError: batches are in flight, and `wait` is false or `max_hours` have passed.
    """
    planned = plan(recipe, out, work_dir, answers)
    options = PushOptions(private=private, overwrite=overwrite)
    limits = {"max_cost": max_cost, "max_hours": max_hours}
    return execute(planned, push=push, options=options, **limits, wait=wait, progress=progress)


def execute(
    planned: Plan,
    *,
    push: str | None = None,
    options: PushOptions = DEFAULTS,
    max_cost: float | None = None,
    max_hours: float | None = None,
    wait: bool = True,
    progress: Progress | None = None,
) -> BuildResult:
    """Execute a plan and push the result; see `build`."""
    progress = progress or Progress()
    if max_cost is not None and planned.recipe.price == Price():
        raise InputError("--max-cost requires a price in the recipe", "For example: --set price.per_worker_hour=2.5")
    if push and (problem := check_access(push, options, folder=planned.told_out)):
        progress.note(f"warning: the push at the end would fail: {problem}")
    parts = resolve(planned, progress)
    encoder = planned.recipe.representations.encoder
    if absent := encoder_problem(encoder):
        progress.note(f"warning: {encoder} is not on this machine, and cannot be downloaded to encode: {absent}")
    with exclusive(planned.work_dir), disk_errors():
        check_disk(planned)
        _warn(planned, progress)
        store = None if planned.recipe.takes_text else parts.answers
        with Journal(planned.work_dir, progress, recipe=planned.recipe.name, out=planned.out, answers=store) as journal:
            result = _with_workers(parts, journal, max_cost, max_hours, wait=wait)
    if not push:
        return result
    try:
        return replace(result, pushed=push_dataset(planned.told_out, push, options, progress=progress))
    except UnicornError as error:
        raise RunError(
            f"the data set is complete in {planned.told_out}, but the push failed: {error.message}", error.advice
        ) from error


def _warn(planned: Plan, progress: Progress) -> None:
    if planned.place.warning:
        progress.note(f"warning: {planned.place.warning}")
    if not is_open_to_others(planned.work_dir):
        return
    if is_remote(planned.work_dir):
        progress.note(
            f"warning: anyone can read the work folder {planned.work_dir}: make its bucket private on the Hub"
            " (Settings), or choose another --work-dir"
        )
    else:
        progress.note(
            f"warning: other users can read the work folder {planned.work_dir}, which also holds other files of yours:"
            f" run chmod 700 {planned.work_dir}, or choose another --work-dir"
        )


def _with_workers(
    parts: Parts, journal: Journal, max_cost: float | None, max_hours: float | None, *, wait: bool
) -> BuildResult:
    for line in earlier_work(parts):
        journal.note(line)
    recipe, generator, place = parts.recipe, parts.generator, parts.plan.place
    if generator.engine.is_shared:
        generator = generator.for_one_of(count_workers(place))
        parts = replace(parts, generator=generator)
    events, budget = Events(parts.plan, journal, max_cost), Budget(recipe.engine_price, max_cost, max_hours)
    opened = open_pool(
        place,
        generator.environment,
        events,
        jobs_at_once=generator.engine.partitions_at_once(recipe.partition_rows),
        folder=parts.work_dir,
        job_timeout_s=recipe.cluster.partition_timeout_s,
        count=budget.add,
    )
    until = time.monotonic() + (max_hours or math.inf) * _HOUR_S if wait else 0.0
    with batches_of(generator, parts.work_dir, parts.answers, journal, until) as batches, opened as workers:
        pool = BatchPool(workers, batches) if batches else workers
        result = _undamaged(lambda: _stages(parts, pool, journal), budget, journal)
    return replace(result, engines=tuple(events.engines))


def _stages(parts: Parts, pool: WorkerPool, progress: Progress) -> BuildResult:
    """From the recipe to the built folder. Finished work is reused."""
    text = imported(parts, progress) if parts.recipe.takes_text else _written(parts, pool, progress)
    captions, instructions = text.captions.picked, text.instructions.picked
    vectors = parts.representations(text.recipe, captions, text.vectors).run(pool, progress)
    load_matplotlib()  # Overlaps with packaging in the workers.
    packaged = package(text.recipe, captions, instructions, vectors, parts.work_dir, pool, progress)
    return BuildResult(parts.plan.out, *publish(parts, text, vectors, packaged))


def _written(parts: Parts, pool: WorkerPool, progress: Progress) -> Text:
    """Seeds, the captions that the engine writes from them, and the conversations about these."""
    recipe = parts.recipe
    seeds, record = prepare_seeds(recipe, parts.work_dir)
    for remark in remarks(recipe.language):
        progress.note(remark)
    remember(parts.work_dir, recipe)  # Not earlier: a recipe that cannot be built leaves no trace.
    tell(record.took, record.left_out, progress)
    captions = parts.captions(recipe, seeds).run(pool, progress)
    instructions = parts.instructions(recipe, captions.picked).run(pool, progress)
    return Text(recipe, captions, instructions, record.facts, recipe.engine.model_license(), record.left_out)


def _undamaged(make: Callable[[], BuildResult], budget: Budget, journal: Journal) -> BuildResult:
    """The result of `make`; regenerates each damaged shard once."""
    made_again: set[Path] = set()
    while True:
        try:
            return make()
        except DamagedShardError as error:
            if error.path in made_again:
                raise
            made_again.add(error.path)
            journal.note(f"{error.message}: regenerating it")
            Step.record_of(error.path).unlink(missing_ok=True)
            budget.cost = 0.0  # All records are counted again.
