"""A build's resolved models, and its stages, ready to run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.core.encoder import EncoderChoice, resolve_encoder
from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.instructions.step import InstructionStage
from unicorn_hf.pipeline.planning import Plan
from unicorn_hf.representations.step import RepresentationStage, image_side
from unicorn_hf.representations.transfer_file import ImageStatistics
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked, SeedShards


@dataclass(frozen=True)
class Parts:
    """A plan with its models resolved."""

    plan: Plan
    generator: GeneratorSpec
    encoder: EncoderChoice
    image: ImageStatistics | None

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe

    @property
    def work_dir(self) -> Path:
        return self.plan.work_dir

    @property
    def answers(self) -> Path:
        """Where the answers of the language model are stored."""
        return self.plan.store(self.generator)

    def captions(self, recipe: Recipe, seeds: SeedShards) -> CaptionStage:
        return CaptionStage(recipe, seeds, self.generator, self.work_dir, self.answers)

    def instructions(self, recipe: Recipe, captions: Sequence[Picked]) -> InstructionStage:
        return InstructionStage(recipe, captions, self.generator, self.work_dir, self.answers)

    def representations(
        self, recipe: Recipe, captions: Sequence[Picked], given: Callable[[str], Path | None] | None = None
    ) -> RepresentationStage:
        return RepresentationStage(recipe, captions, self.encoder, self.work_dir, self.image, given)


def resolve(planned: Plan, progress: Progress) -> Parts:
    """Resolve the models of a plan; its recipe then names their revisions.

    Raises:
        InputError: there is no such model, or the image statistics belong to another encoder.
        RunError: the Hub or the server cannot be reached.
    """
    recipe = planned.recipe
    if recipe.takes_text:  # The engine wrote it, and is not started.
        generator = GeneratorSpec(recipe.engine, fingerprint(recipe.engine), deterministic=True)
    else:
        generator = resolve_generator(recipe.engine)
        for note in generator.engine.notes(recipe.engine):
            progress.note(note)
    asked = recipe.representations
    encoder = resolve_encoder(asked.encoder, asked.batch_size, asked.long_captions)
    planned = replace(planned, recipe=recipe.model_copy(update={"engine": generator.engine}))
    return Parts(planned, generator, encoder, image_side(recipe))
