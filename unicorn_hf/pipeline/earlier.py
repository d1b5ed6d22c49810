"""Work of earlier runs that a build reuses."""

from collections.abc import Iterator

from unicorn_hf.builders.reuse import StageFolders, last_recipe, told
from unicorn_hf.captions.step import STAGE as CAPTIONS
from unicorn_hf.instructions.step import STAGE as INSTRUCTIONS
from unicorn_hf.pipeline.parts import Parts
from unicorn_hf.representations.step import STAGE as REPRESENTATIONS
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.answers.earlier import take_over
from unicorn_hf.runtime.locks import make_private
from unicorn_hf.runtime.selection import NO_SEEDS
from unicorn_hf.seeds.step import are_prepared


def earlier_work(parts: Parts) -> list[str]:
    """Describe reusable work, a line each; move stored answers of an earlier version to the store."""
    recipe = parts.recipe

    def has_seeds() -> bool:
        return recipe.takes_text or are_prepared(
            recipe.seeds,
            random_seed=recipe.random_seed,
            partition_rows=recipe.partition_rows,
            work_dir=parts.work_dir,
        )

    return told(parts.work_dir, recipe, list(_folders(parts)), num_answers=_stored(parts), has_seeds=has_seeds)


def _folders(parts: Parts) -> Iterator[StageFolders]:
    """The folders of the expensive stages."""
    recipe = parts.recipe
    if not recipe.takes_text:
        yield StageFolders(CAPTIONS, parts.captions(recipe, NO_SEEDS).step.folder, asks=True)
        yield StageFolders(INSTRUCTIONS, parts.instructions(recipe, []).step.folder, asks=True)
    yield StageFolders(REPRESENTATIONS, parts.representations(recipe, []).step.folder)


def _stored(parts: Parts) -> int:
    """Number of stored answers of the engine."""
    if parts.recipe.takes_text:
        return 0
    if parts.work_dir not in parts.plan.answers.parents:
        make_private(parts.plan.answers)
    store = AnswerStore(parts.answers)
    store.tidy()
    for recipe in (parts.recipe, last_recipe(parts.work_dir)):
        if recipe and recipe.engine == parts.recipe.engine and not recipe.takes_text:
            take_over(parts.captions(recipe, NO_SEEDS).earlier_answers, store)
            take_over(parts.instructions(recipe, []).earlier_answers, store)
    return store.count()
