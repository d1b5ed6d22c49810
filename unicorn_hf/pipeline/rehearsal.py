"""Runs the stages that use a language model in this process, with `echo` in its place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.generation import Answer, Request, TextGenerator
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.engines.echo import EchoEngine
from unicorn_hf.engines.generators.echo import EchoGenerator
from unicorn_hf.instructions.step import InstructionStage
from unicorn_hf.pipeline.collecting import PoolHere
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import SeedShards


@dataclass(frozen=True, slots=True)
class _Rehearsal(GeneratorSpec):
    """Replaces an engine: answers like `echo`, and stores nothing."""

    asked: list[tuple[Request, Answer]] = field(default_factory=list)

    def open(self) -> TextGenerator:
        return _Recording(self.asked)


class _Recording(EchoGenerator):
    def __init__(self, asked: list[tuple[Request, Answer]]) -> None:
        self._asked = asked

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for position, answer in super().generate(requests):
            self._asked.append((requests[position], answer))
            yield position, answer


@dataclass(frozen=True)
class Rehearsed:
    """A stage that was rehearsed."""

    counts: Counts
    asked: list[tuple[Request, Answer]]
    """The requests without a stored answer."""


def rehearse(
    recipe: Recipe, seeds: SeedShards, scratch: Path, *, identity: str = "rehearsal", answers: Path | None = None
) -> tuple[Rehearsed, Rehearsed]:
    """Make captions, without semantic deduplication, which encodes; then conversations. Sends no requests.

    Args:
        recipe: the recipe.
        seeds: the seeds.
        scratch: the work folder.
        identity: that of the engine whose stored answers are used.
        answers: its stored answers.

    Raises:
        RunError: the seeds do not suffice.
    """
    near = recipe.captions.near_duplicates.model_copy(update={"semantic_threshold": None})
    recipe = recipe.model_copy(update={"captions": recipe.captions.model_copy(update={"near_duplicates": near})})
    spec = _Rehearsal(EchoEngine(), identity, deterministic=True, keeps_answers=False)
    store, pool, progress = answers or scratch / "answers", PoolHere(), Progress()
    try:
        captions = CaptionStage(recipe, seeds, spec, scratch, store).run(pool, progress)
        num_asked = len(spec.asked)
        instructions = InstructionStage(recipe, captions.picked, spec, scratch, store).run(pool, progress)
    finally:
        pool.close()
    return (
        Rehearsed(captions.counts, spec.asked[:num_asked]),
        Rehearsed(instructions.counts, spec.asked[num_asked:]),
    )
