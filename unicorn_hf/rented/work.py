"""The requests of a build and their tokens, from the best source at hand."""

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from os.path import commonprefix
from pathlib import Path

from pydantic import BaseModel

from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.languages import base, english_name, listed
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.estimate import Estimate, StageEstimate, sample_of
from unicorn_hf.hub.regenerate import read_published
from unicorn_hf.pipeline.rehearsal import Rehearsed, rehearse
from unicorn_hf.rented.speed import Load
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.seeds.step import prepare_seeds

_REHEARSED = 128
"""Captions of the rehearsal."""
_BYTES_PER_TOKEN = 4
"""Of English, in UTF-8."""
_TOKENS_PER_WORD = 1.3
_STAGES = ("captions", "instructions")
_COUNTED = ("candidates", "requests", "prompt_tokens", "output_tokens")


class StageWork(BaseModel):
    """The requests of a stage."""

    rows: int
    candidates: float = 0
    """Rows plus rejections."""
    requests: float = 0
    prompt_tokens: float = 0
    shared_tokens: float = 0
    """Tokens of the prompts that each shares with another one, from its beginning."""
    output_tokens: float = 0
    guided_share: float = 0
    """The share of the output tokens that a JSON schema restricts."""

    @property
    def load(self) -> Load:
        number = max(self.requests, 1)
        tokens = (self.prompt_tokens / number, self.shared_tokens / number, self.output_tokens / number)
        return Load(self.requests, *tokens, self.guided_share)


class Work(BaseModel):
    """The work of a build, for any machine."""

    source: str
    """Where the counts come from."""
    captions: StageWork
    instructions: StageWork
    caption_tokens: float
    """Mean tokens of a caption."""
    knows_rejections: bool = True
    """Whether the counts include answers that are rejected. Those of `echo` tell nothing about the model's."""


def work_of(recipe: Recipe, sampled: Estimate | None = None) -> Work:
    """Find the work of a build: from a sample, or else the parent's statistics, or else a rehearsal with `echo`.

    The rehearsal has the recipe's own seeds and prompts. A token is taken as four bytes of it. It also tells which part
    of the prompts is shared, and how many tokens a JSON schema restricts.

    Args:
        recipe: the recipe of the whole build.
        sampled: the estimate from a sample by the recipe's engine, if there is one.

    Raises:
        InputError: the recipe imports its text without a parent, or its language is one that `echo` cannot write and
            nothing else is known; or the seeds cannot be read.
        RunError: the seeds do not suffice.
    """
    parent = _parent(recipe)
    if recipe.takes_text:
        return _encoding_only(recipe, parent)
    unknown = [code for code in recipe.language if base(code) not in listed()]
    rehearsed = None if unknown else _rehearsed(recipe)
    if sampled:
        counted = {stage: _of_estimate(getattr(sampled, stage)) for stage in _STAGES}
        source = f"a sample of {sampled.num_sample:,} captions by the recipe's engine"
    elif parent and recipe.parent and parent.captions.num_requests and not parent.captions.num_estimated:
        counted = {stage: _of_counts(getattr(recipe, stage).num, getattr(parent, stage)) for stage in _STAGES}
        source = f"the statistics of {recipe.parent.dataset}, by {parent.engine}"
    elif rehearsed:
        counted = rehearsed
        number = min(_REHEARSED, recipe.captions.num)
        source = f"a rehearsal of {number:,} captions: real seeds and prompts, answers by `echo`"
    else:
        raise InputError(
            f"the work of this recipe is not known: `echo` cannot rehearse it in {english_name(unknown[0])}",
            "Add --sample 64 on a machine where the recipe's engine runs.",
        )
    if rehearsed and counted is not rehearsed:
        counted = {stage: _with_shares(counted[stage], rehearsed[stage]) for stage in _STAGES}
    captions = counted["captions"]
    return Work(
        source=source,
        **counted,
        caption_tokens=captions.output_tokens / max(captions.requests, 1),
        knows_rejections=counted is not rehearsed,
    )


def _parent(recipe: Recipe) -> Statistics | None:
    """The statistics of the set that this one is made from, if it can be read."""
    if not recipe.parent:
        return None
    try:
        return read_published(recipe.parent.dataset, recipe.parent.revision).statistics
    except (InputError, RunError):
        return None


def _encoding_only(recipe: Recipe, parent: Statistics | None) -> Work:
    if parent is None:
        raise InputError("this recipe imports its text and sends no requests", "Use: unicorn-hf build --dry-run")
    return Work(
        source="the captions of the parent, which are encoded again",
        captions=StageWork(rows=recipe.captions.num),
        instructions=StageWork(rows=recipe.instructions.num),
        caption_tokens=parent.caption_words.mean * _TOKENS_PER_WORD,
    )


def _rehearsed(recipe: Recipe) -> dict[str, StageWork]:
    small = _rehearsal_of(sample_of(recipe, _REHEARSED))
    with tempfile.TemporaryDirectory(prefix="unicorn-hf-plan-") as name, disk_errors():
        seeds, _ = prepare_seeds(small, Path(name))
        found = dict(zip(_STAGES, rehearse(small, seeds, Path(name)), strict=True))
    return {
        stage: _of_rehearsal(getattr(recipe, stage).num, getattr(small, stage).num, rehearsed)
        for stage, rehearsed in found.items()
    }


def _rehearsal_of(recipe: Recipe) -> Recipe:
    """Scores reject nothing, since those of `echo` are drawn."""
    screen, judge = (
        scoring.model_copy(update={"min_score": 1}) if scoring else None
        for scoring in (recipe.captions.screen, recipe.instructions.judge)
    )
    return recipe.model_copy(
        update={
            "captions": recipe.captions.model_copy(update={"screen": screen}),
            "instructions": recipe.instructions.model_copy(update={"judge": judge}),
        }
    )


def _of_rehearsal(rows: int, num_rehearsed: int, stage: Rehearsed) -> StageWork:
    scale = rows / max(num_rehearsed, 1)
    answers = [answer.text for _, answer in stage.asked]
    guided = [answer.text for request, answer in stage.asked if request.json_schema]
    return StageWork(
        rows=rows,
        candidates=stage.counts.num_candidates * scale,
        requests=len(stage.asked) * scale,
        prompt_tokens=sum(map(_tokens, map(_prompt, stage.asked))) * scale,
        shared_tokens=_shared(sorted(map(_prompt, stage.asked))) * scale,
        output_tokens=sum(map(_tokens, answers)) * scale,
        guided_share=sum(map(_tokens, guided)) / max(sum(map(_tokens, answers)), 1),
    )


def _prompt(asked: tuple[Request, Answer]) -> str:
    return "\n".join(message.content for message in asked[0].messages)


def _tokens(text: str) -> float:
    return len(text.encode(errors="replace")) / _BYTES_PER_TOKEN


def _shared(prompts: Sequence[str]) -> float:
    """Tokens that each of the sorted prompts shares with another one, which is then beside it."""
    with_next = [_tokens(commonprefix(pair)) for pair in pairwise(prompts)]  # noqa: RUF071 - these are no paths
    return sum(map(max, [0.0, *with_next], [*with_next, 0.0])) if prompts else 0.0


def _of_estimate(stage: StageEstimate) -> StageWork:
    return StageWork(rows=stage.rows, **{name: getattr(stage, name).value for name in _COUNTED})


def _of_counts(rows: int, counts: Counts) -> StageWork:
    scale = rows / max(counts.num_kept, 1)
    return StageWork(rows=rows, **{name: getattr(counts, f"num_{name}") * scale for name in _COUNTED})


def _with_shares(counted: StageWork, rehearsed: StageWork) -> StageWork:
    """The counts of one source with the shares of the rehearsal."""
    shared = counted.prompt_tokens * rehearsed.shared_tokens / max(rehearsed.prompt_tokens, 1)
    return counted.model_copy(update={"shared_tokens": shared, "guided_share": rehearsed.guided_share})
