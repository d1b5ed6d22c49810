"""Work of earlier runs: what the work folder contains, and what of it a build reuses after changes of the recipe."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from unicorn_hf.captions.step import STAGE as CAPTIONS
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.units import counted
from unicorn_hf.instructions.step import STAGE as INSTRUCTIONS
from unicorn_hf.pipeline.parts import Parts
from unicorn_hf.representations.step import STAGE as REPRESENTATIONS
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.answers.earlier import take_over
from unicorn_hf.runtime.files import write_json
from unicorn_hf.runtime.locks import make_private
from unicorn_hf.runtime.selection import NO_SEEDS
from unicorn_hf.seeds.step import are_prepared

_LAST_RECIPE = "recipe.json"
_NO_DATA = ("cluster", "price")
"""Keys that do not affect rows."""
_LONGEST = 60
_FROM_THE_START = "from the start"


def earlier_work(parts: Parts) -> list[str]:
    """Describe reusable work, a line each; move stored answers of an earlier version to the store."""
    recipe = parts.recipe
    return told(
        parts.work_dir,
        recipe,
        _folders(parts),
        num_answers=_stored(parts),
        has_seeds=lambda: recipe.takes_text or are_prepared(recipe, parts.work_dir),
    )


def _folders(parts: Parts) -> dict[str, Path]:
    """The folders of the expensive stages, in order."""
    recipe = parts.recipe
    folders = {REPRESENTATIONS: parts.representations(recipe, []).step.folder}
    if recipe.takes_text:
        return folders
    captions, instructions = parts.captions(recipe, NO_SEEDS), parts.instructions(recipe, [])
    return {CAPTIONS: captions.step.folder, INSTRUCTIONS: instructions.step.folder} | folders


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


def told(
    work_dir: Path,
    recipe: Recipe,
    stages: Mapping[str, Path],
    *,
    num_answers: int = 0,
    has_seeds: Callable[[], bool],
) -> list[str]:
    """Return lines for the user: changes of the recipe since the last run here, and what the build reuses.

    Args:
        stages: the folders of the stages in order; each depends on the earlier ones.
        num_answers: stored answers of the recipe's engine, from any build.
        has_seeds: returns whether the seeds are unchanged; only called if needed, because it reads the seeds' files.
    """
    stored = [f"{num_answers:,} stored answers, which are not requested again"] if num_answers else []
    if (before := _last(work_dir)) is None:
        return stored
    # A key that the earlier version did not have is not a change.
    known = last_recipe(work_dir)
    before = _data(known) if known else before
    states = list(_states(stages, num_answers, has_seeds=has_seeds()))
    if changes := list(_changes(before, _data(recipe))):
        lines = [*changes, *states, *stored]
        return ["the recipe has changed since the last run here:", *(f"  {line}" for line in lines)]
    if states and not stored and all(state.endswith(_FROM_THE_START) for state in states):
        return []
    return [f"resumes an earlier run: {'; '.join([*states, *stored])}"]


def remember(work_dir: Path, recipe: Recipe) -> None:
    """Store the recipe for the next run."""
    write_json(work_dir / _LAST_RECIPE, _data(recipe))


def last_recipe(work_dir: Path) -> Recipe | None:
    """The recipe of the last run in a work folder, without cluster and price; None if there is none."""
    try:
        return Recipe.model_validate(_last(work_dir))
    except ValidationError:
        return None


def _last(work_dir: Path) -> dict[str, object] | None:
    try:
        data: dict[str, object] = json.loads((work_dir / _LAST_RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data


def _data(recipe: Recipe) -> dict[str, object]:
    return recipe.model_dump(mode="json", exclude=set(_NO_DATA))


def _changes(before: object, after: object, key: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*after, *(name for name in before if name not in after)]:
            yield from _changes(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif before != after:
        yield f"{key}: {_short(after)}, was {_short(before)}"


def _short(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    text = " ".join(text.removesuffix("...\n").split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _states(stages: Mapping[str, Path], num_answers: int, *, has_seeds: bool) -> Iterator[str]:
    upstream = ""
    if not has_seeds:
        upstream = "seeds"
        yield "seeds: prepared again"
    for stage, folder in stages.items():
        num_done = len(list(folder.glob("*.json")))
        if num_done:
            state = f"{counted(num_done, 'partition')} done"
        elif num_answers and stage != REPRESENTATIONS:
            state = "from stored answers"
        else:
            state = _FROM_THE_START
        same = f", reused if the {upstream} are the same" if upstream and num_done else ""
        yield f"{stage}: {state}{same}"
        if not num_done:
            upstream = stage
