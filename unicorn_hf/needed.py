"""Counts the requests that a build would send: runs the stages on stored answers, without their engine."""

import tempfile
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.pipeline.planning import Plan
from unicorn_hf.pipeline.rehearsal import Rehearsed, rehearse
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.selection import SeedShards
from unicorn_hf.seeds.step import are_prepared, prepare_seeds

_MOST_CANDIDATES = 20_000
"""For more captions, every n-th partition is counted and the result multiplied."""


class StageNeed(BaseModel):
    """Requests of one stage."""

    stored: int = 0
    """Requests with a stored answer."""
    asked: int = 0
    """Requests without one. A row whose answer is rejected needs more."""


class Need(BaseModel):
    """Requests of a build."""

    num_answers: int
    """All stored answers of the engine."""
    captions: StageNeed
    instructions: StageNeed
    is_exact: bool
    """Whether all partitions were counted."""

    @property
    def words(self) -> str:
        stages = {"captions": self.captions, "conversations": self.instructions}
        parts = [
            f"{need.asked:,} for {name}" + (f" ({need.stored:,} stored)" if need.stored else "")
            for name, need in stages.items()
        ]
        return f"{'' if self.is_exact else 'about '}{' and '.join(parts)}; more if answers are rejected"


def requests_needed(planned: Plan) -> Need:
    """Count the requests of a build that have no stored answer. Sends no requests and deletes its temporary files.

    A missing answer is replaced by a rehearsed one, which passes the filters. A build sends more requests if the
    engine's answers fail them.

    Raises:
        InputError: the seeds or the engine's model cannot be read.
    """
    recipe = planned.recipe
    if recipe.takes_text:
        return Need(num_answers=0, captions=StageNeed(), instructions=StageNeed(), is_exact=True)
    generator = resolve_generator(recipe.engine)
    num_answers = AnswerStore(planned.store(generator)).count()
    if not num_answers:
        captions, instructions = (StageNeed(asked=stage.num) for stage in (recipe.captions, recipe.instructions))
        return Need(num_answers=0, captions=captions, instructions=instructions, is_exact=False)
    with tempfile.TemporaryDirectory(prefix="unicorn-hf-plan-") as name, disk_errors():
        return _replayed(planned, generator, num_answers, Path(name))


def _replayed(planned: Plan, generator: GeneratorSpec, num_answers: int, scratch: Path) -> Need:
    work_dir = planned.work_dir if are_prepared(planned.recipe, planned.work_dir) else scratch
    recipe, seeds, share = _sampled(planned.recipe, prepare_seeds(planned.recipe, work_dir)[0])
    store = planned.store(generator)
    try:
        rehearsed = rehearse(recipe, seeds, scratch, identity=generator.identity, answers=store)
    except RunError as error:
        raise RunError(f"the build would fail: {error.message}", error.advice) from error

    def need(stage: Rehearsed) -> StageNeed:
        asked = len(stage.asked)
        return StageNeed(stored=(stage.counts.num_requests - asked) * share, asked=asked * share)

    captions, instructions = map(need, rehearsed)
    return Need(num_answers=num_answers, captions=captions, instructions=instructions, is_exact=share == 1)


def _sampled(recipe: Recipe, seeds: SeedShards) -> tuple[Recipe, SeedShards, int]:
    """Every n-th shard of seeds with an n-th of the counts, and n."""
    share = min(-(-recipe.captions.num // _MOST_CANDIDATES), len(seeds.paths))
    captions = recipe.captions.model_copy(update={"num": -(-recipe.captions.num // share)})
    num_instructions = min(-(-recipe.instructions.num // share), captions.num)
    instructions = recipe.instructions.model_copy(update={"num": num_instructions})
    paths = seeds.paths[::share]
    num_seeds = len(paths) * recipe.partition_rows
    if paths and paths[-1] == seeds.paths[-1]:
        num_seeds -= len(seeds.paths) * recipe.partition_rows - seeds.num_seeds
    recipe = recipe.model_copy(update={"captions": captions, "instructions": instructions})
    return recipe, replace(seeds, paths=paths, identities=seeds.identities[::share], num_seeds=num_seeds), share
