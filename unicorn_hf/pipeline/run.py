"""The flow of a build: seeds, captions, conversations, representations, packaging, published folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unicorn_hf.builders.package import ConfigName, PackagedConfig, package
from unicorn_hf.builders.repository import (
    RECIPE,
    RUN,
    STATISTICS,
    TRANSFER,
    add_shards,
    replaced,
)
from unicorn_hf.builders.reuse import StageFolders, last_recipe, remember, told
from unicorn_hf.captions.step import STAGE as CAPTIONS
from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.cards.charts import load_matplotlib
from unicorn_hf.cards.costs import RunFacts, StageTime
from unicorn_hf.cards.statistics import (
    RepresentationFacts,
    SeedFacts,
    SourceFacts,
    Statistics,
    read_statistics,
)
from unicorn_hf.core.encoder_spec import ImportedSpec
from unicorn_hf.core.errors import InputError, RunError, UnicornError
from unicorn_hf.core.languages import english_name, remarks
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.core.plugins import plugins
from unicorn_hf.core.published import published_encoder, published_name, published_recipe
from unicorn_hf.core.recipe import (
    EndpointEngine,
    Price,
    Recipe,
    VllmEngine,
)
from unicorn_hf.core.recipe_file import dump_recipe
from unicorn_hf.core.schemas import CAPTIONS as CAPTION_SCHEMA
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.engines.endpoint import unencrypted_key
from unicorn_hf.engines.model_license import model_license
from unicorn_hf.engines.specs import EncoderChoice, GeneratorSpec, resolve_encoder, resolve_generator
from unicorn_hf.hub.access import check_access
from unicorn_hf.hub.fetch import local_folder
from unicorn_hf.hub.options import PushOptions
from unicorn_hf.hub.push import PushResult
from unicorn_hf.instructions.step import STAGE as INSTRUCTIONS
from unicorn_hf.instructions.step import InstructionStage
from unicorn_hf.interchange.importing import Taken, take
from unicorn_hf.interchange.reading import imported_files, parent_files
from unicorn_hf.pipeline.planning import Plan, check_disk, plan
from unicorn_hf.pipeline.publish import first_rows, push_dataset, write_card
from unicorn_hf.pipeline.statistics import config_facts, diversity_facts, image_facts, stage_facts, versions, word_facts
from unicorn_hf.pipeline.text import Text, cut, imported_recipe, imported_seeds, no_generator
from unicorn_hf.representations.step import STAGE as REPRESENTATIONS
from unicorn_hf.representations.step import Representations, RepresentationStage, image_side
from unicorn_hf.representations.transfer_file import (
    ImageStatistics,
    encoder_id,
    save_transfer,
)
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.answers.earlier import take_over
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.files import DamagedShardError, disk_errors, read_table, write_json, write_text
from unicorn_hf.runtime.generation import Usage
from unicorn_hf.runtime.journal import Journal
from unicorn_hf.runtime.launch import count_workers
from unicorn_hf.runtime.limits import Budget
from unicorn_hf.runtime.locks import exclusive, is_open_to_others, make_private
from unicorn_hf.runtime.progress import NoProgress, Progress
from unicorn_hf.runtime.selection import NO_SEEDS, Picked, SeedShards
from unicorn_hf.runtime.steps import Step
from unicorn_hf.seeds.language import another_language
from unicorn_hf.seeds.step import are_prepared, check_prepared, prepare_seeds

_MACHINES = "machines.json"


@dataclass(frozen=True)
class EngineBuilt:
    """An engine that a worker process built; it keeps one until it needs another."""

    identity: str
    pid: int
    seconds: float
    machine: str


@dataclass(frozen=True)
class BuildResult:
    """What a build made, and where."""

    out: Path
    """The published folder."""
    statistics: Statistics
    examples: dict[ConfigName, list[dict[str, object]]]
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
    if max_cost is not None and recipe.price == Price():
        raise InputError(
            "--max-cost needs a price, and the recipe has none", "For example: --set price.per_worker_hour=2.5"
        )
    planned = plan(recipe, out, work_dir, answers)
    progress = progress or NoProgress()
    options = PushOptions(private=private, overwrite=overwrite)
    if push and (problem := check_access(push, options, folder=out)):
        progress.note(f"warning: as things stand, the push at the end will fail: {problem}")
    generator = no_generator(recipe.engine) if recipe.takes_text else resolve_generator(recipe.engine)
    planned = replace(planned, recipe=recipe.model_copy(update={"engine": generator.engine}))
    if isinstance(generator.engine, VllmEngine) and generator.engine != recipe.engine:
        progress.note(f"{generator.name} is at revision {generator.engine.revision}")
    if isinstance(generator.engine, EndpointEngine) and (warning := unencrypted_key(generator.engine)):
        progress.note(warning)
    asked = recipe.representations
    encoder = resolve_encoder(asked.encoder, asked.batch_size, asked.long_captions)
    image = image_side(recipe)
    with exclusive(planned.work_dir), disk_errors():
        check_disk(planned)
        if planned.place.warning:
            progress.note(f"warning: {planned.place.warning}")
        if is_open_to_others(planned.work_dir):
            progress.note(
                f"warning: other users can read the work folder {planned.work_dir}, which holds things of yours too:"
                f" chmod 700 {planned.work_dir}, or another --work-dir"
            )
        store = None if recipe.takes_text else planned.store(generator)
        with Journal(planned.work_dir, progress, recipe=recipe.name, out=planned.out, answers=store) as journal:
            result = _Build(planned, generator, encoder, image, journal).run(max_cost, max_hours)
    if not push:
        return result
    try:
        return replace(result, pushed=push_dataset(out, push, options, progress=progress))
    except UnicornError as error:
        raise RunError(f"the data set is whole in {out}, but not pushed: {error.message}", error.advice) from error


class _Build:
    def __init__(
        self,
        planned: Plan,
        generator: GeneratorSpec,
        encoder: EncoderChoice,
        image: ImageStatistics | None,
        journal: Journal,
    ) -> None:
        self._plan = planned
        self._recipe = planned.recipe
        self._generator = generator
        self._encoder = encoder
        self._image = image
        self._journal = journal
        self._engines: list[EngineBuilt] = []
        self._max_cost: float | None = None
        self._told_no_usage = False

    def run(self, max_cost: float | None, max_hours: float | None) -> BuildResult:
        recipe, work_dir = self._recipe, self._plan.work_dir
        self._max_cost = max_cost
        num_answers = self._stored()
        for line in told(work_dir, recipe, self._folders(), num_answers=num_answers, has_seeds=self._has_seeds):
            self._journal.note(line)
        if isinstance(self._generator.engine, EndpointEngine):
            self._generator = self._generator.for_one_of(count_workers(self._plan.place))
        at_once = self._generator.partitions_at_once(recipe.partition_rows)
        opened = open_pool(
            self._plan.place,
            self._generator.environment,
            self._on_event,
            jobs_at_once=at_once,
            folder=work_dir,
            job_timeout_s=recipe.cluster.partition_timeout_s,
        )
        with opened as workers:
            pool = Budget(workers, recipe.price, max_cost, max_hours)
            made_again: set[Path] = set()
            while True:
                try:
                    return self._made(pool)
                except DamagedShardError as error:
                    # Whatever it was made from is found, so starting over costs a look at each record.
                    if error.path in made_again:
                        raise
                    made_again.add(error.path)
                    self._journal.note(f"{error.message}: it is made again")
                    Step.forget(error.path)
                    pool.start_over()

    def _made(self, pool: Budget) -> BuildResult:
        work_dir, progress = self._plan.work_dir, self._journal
        self._recipe = self._plan.recipe
        text = self._taken() if self._recipe.takes_text else self._written(pool)
        recipe = self._recipe = text.recipe
        picked = text.captions
        vectors = RepresentationStage(recipe, picked, self._encoder, work_dir, self._image, text.vectors).run(
            pool, progress
        )
        load_matplotlib()  # Workers package meanwhile.
        packaged = package(recipe, picked, text.instructions, vectors, work_dir, pool, progress)
        statistics = self._statistics(text, vectors, packaged)
        run = RunFacts(
            machines=tuple(_machines(work_dir)),
            captions=_stage_time(text.caption_usage),
            instructions=_stage_time(text.instruction_usage),
            representations=StageTime(seconds=round(vectors.seconds, 3)),
            packaging=StageTime(seconds=round(sum(config.seconds for config in packaged), 3)),
        )
        return self._publish(statistics, run, vectors, packaged)

    def _has_seeds(self) -> bool:
        recipe = self._recipe
        return recipe.takes_text or are_prepared(
            recipe.seeds,
            random_seed=recipe.random_seed,
            partition_rows=recipe.partition_rows,
            work_dir=self._plan.work_dir,
        )

    def _folders(self) -> list[StageFolders]:
        """Of the stages that cost something."""
        recipe, work_dir = self._recipe, self._plan.work_dir
        encoding = StageFolders(REPRESENTATIONS, RepresentationStage(recipe, [], self._encoder, work_dir).step.folder)
        if recipe.takes_text:
            return [encoding]
        return [
            StageFolders(CAPTIONS, self._caption_stage(recipe, NO_SEEDS).step.folder, asks=True),
            StageFolders(INSTRUCTIONS, self._instruction_stage(recipe, []).step.folder, asks=True),
            encoding,
        ]

    def _caption_stage(self, recipe: Recipe, seeds: SeedShards) -> CaptionStage:
        return CaptionStage(recipe, seeds, self._generator, self._plan.work_dir, self._answers, self._encoder)

    def _instruction_stage(self, recipe: Recipe, captions: Sequence[Picked]) -> InstructionStage:
        return InstructionStage(recipe, captions, self._generator, self._plan.work_dir, self._answers)

    @property
    def _answers(self) -> Path:
        return self._plan.store(self._generator)

    def _stored(self) -> int:
        """How many answers of the engine are stored, those of an earlier version included, which are moved there."""
        if self._recipe.takes_text:
            return 0
        if self._plan.work_dir not in self._plan.answers.parents:
            make_private(self._plan.answers)
        store = AnswerStore(self._answers)
        store.tidy()
        for recipe in (self._recipe, last_recipe(self._plan.work_dir)):
            if recipe and recipe.engine == self._recipe.engine and not recipe.takes_text:
                take_over(self._caption_stage(recipe, NO_SEEDS).earlier_answers, store)
                take_over(self._instruction_stage(recipe, []).earlier_answers, store)
        return store.count()

    def _written(self, pool: WorkerPool) -> "Text":
        """Stages 1 and 2."""
        recipe, work_dir, progress = self._recipe, self._plan.work_dir, self._journal
        seeds, record = prepare_seeds(
            recipe.seeds, random_seed=recipe.random_seed, partition_rows=recipe.partition_rows, work_dir=work_dir
        )
        check_prepared(recipe.seeds, seeds, recipe.language)
        for remark in remarks(recipe.language):
            progress.note(remark)
        remember(work_dir, self._plan.recipe)  # Not before: of a recipe that cannot be built nothing is left.
        self._tell(record.took, record.left_out)
        captions = self._caption_stage(recipe, seeds).run(pool, progress)
        instructions = self._instruction_stage(recipe, captions.picked).run(pool, progress)
        return Text(
            recipe=recipe,
            captions=captions.picked,
            instructions=instructions.picked,
            seeds=SeedFacts(
                num_seeds=record.num_seeds,
                sources=tuple(SourceFacts(**source.model_dump()) for source in record.sources),
                skipped=record.skipped,
            ),
            model_license=model_license(recipe.engine),
            caption_counts=captions.counts,
            instruction_counts=instructions.counts,
            left_out=record.left_out,
            caption_usage=captions.usage,
            instruction_usage=instructions.usage,
        )

    def _tell(self, took: Sequence[str], left_out: Sequence[LeftOut]) -> None:
        """How files were read, and what was left out of them."""
        for line in (*took, *left_out):
            self._journal.note(str(line))

    def _taken(self) -> "Text":
        """Captions and conversations of files, or of the parent."""
        recipe, progress = self._recipe, self._journal
        parent = local_folder(recipe.parent.dataset, recipe.parent.revision) if recipe.parent else None
        with_vectors = isinstance(self._encoder.spec, ImportedSpec)
        if recipe.parent and parent:
            files = parent_files(recipe.parent, parent)
        else:
            files = imported_files(recipe.imported, with_vectors=with_vectors) if recipe.imported else []
        facts = read_statistics(parent / STATISTICS) if parent else None
        taken = take(
            files,
            num_captions=recipe.captions.num,
            num_instructions=recipe.instructions.num,
            partition_rows=recipe.partition_rows,
            domain=recipe.imported.domain if recipe.imported else SeedSource.model_fields["domain"].default,
            with_vectors=with_vectors,
            stored=recipe.representations.dtype if recipe.representations.transfer == "none" else "float32",
            work_dir=self._plan.work_dir,
            progress=progress,
        )
        remember(self._plan.work_dir, self._plan.recipe)
        self._tell_language(taken)
        record = taken.record
        captions, instructions = record.captions, record.instructions
        # Of a parent it is known how it is read, and that its vectors are made anew.
        left_out = () if parent else record.left_out
        self._tell(() if parent else record.took, left_out)
        return Text(
            recipe=imported_recipe(recipe, files, taken),
            captions=taken.captions,
            instructions=taken.instructions,
            seeds=facts.seeds if facts else imported_seeds(recipe, taken),
            model_license=facts.model_license if facts else model_license(recipe.engine),
            caption_counts=cut(captions, taken.num_captions),
            instruction_counts=cut(instructions, taken.num_instructions),
            left_out=left_out,
            vectors=taken.vectors,
        )

    def _tell_language(self, taken: Taken) -> None:
        """Say so where imported captions are in another language than the card will tell."""
        told = self._recipe.language
        first = read_table(taken.captions[0].path, CAPTION_SCHEMA, ["caption"]) if taken.captions else None
        if first and (code := another_language(first.column("caption").to_pylist(), told)):
            says = " and ".join(map(english_name, told))
            self._journal.note(
                f"warning: the captions are in {english_name(code)}, and the card says {says}. Give --language {code}"
            )

    def _on_event(self, event: dict[str, Any]) -> None:
        self._journal.event(event)
        match event["event"]:
            case "engine_built":
                self._engines.append(EngineBuilt(event["engine"], event["pid"], event["seconds"], event["machine"]))
                _remember_machine(self._plan.work_dir, event["machine"])
            case "dashboard":
                who = "" if self._plan.place.scheduler else " (every user of this machine can open it)"
                self._journal.note(f"Dask's dashboard: {event['link']}{who}")
            case "stuck":
                self._journal.note(
                    f"a worker is replaced: {event['seconds']:g} s without a row of {event['partition']}"
                )
            case "ended_badly":
                self._journal.note(
                    f"{event['partition']}: {event['requests']} requests are asked again, otherwise: {event['why']}"
                )
            case "no_usage":
                self._tell_no_usage()

    def _tell_no_usage(self) -> None:
        """Once a build, at the first answer."""
        if self._told_no_usage:
            return
        self._told_no_usage = True
        by_token = self._recipe.price.is_by_token
        cost = ", and the cost is an estimate too: --max-cost goes by it" if by_token and self._max_cost else ""
        self._journal.note(
            f"the server does not report token counts (usage): they are estimated from the length of the texts,"
            f" a token for three bytes, rather too many than too few{cost}"
        )

    def _publish(
        self, statistics: Statistics, run: RunFacts, vectors: Representations, packaged: list[PackagedConfig]
    ) -> BuildResult:
        recipe, out = self._recipe, self._plan.out
        examples: dict[ConfigName, list[dict[str, object]]] = {}
        published = published_recipe(recipe.model_copy(update={"plugins": plugins(recipe)}))
        with replaced(out) as folder:
            add_shards(folder, packaged, out)
            save_transfer(
                folder / TRANSFER,
                vectors.transfer.name,
                vectors.statistics,
                vectors.text,
                encoder=published.representations.encoder,
                encoder_id=encoder_id(recipe.representations.encoder),
                image_source=vectors.image.source if vectors.image else "",
            )
            write_text(folder / RECIPE, dump_recipe(published))
            write_json(folder / STATISTICS, statistics.model_dump(mode="json"))
            write_json(folder / RUN, run.model_dump(mode="json"))
            examples |= {config.name: first_rows(folder, config.name) for config in packaged if config.shards}
            write_card(folder)
        return BuildResult(out, statistics, examples, tuple(self._engines))

    def _statistics(self, text: "Text", vectors: Representations, packaged: list[PackagedConfig]) -> Statistics:
        recipe = self._recipe
        facts = {config.name: config_facts(config) for config in packaged}
        return Statistics(
            engine=published_name(self._generator.name),
            engine_deterministic=self._generator.deterministic,
            model_license=text.model_license,
            seeds=text.seeds,
            captions=stage_facts(text.caption_counts),
            caption_words=word_facts(packaged[0].statistics),
            diversity=diversity_facts(packaged[0].diversity, text.caption_counts),
            instructions=stage_facts(text.instruction_counts),
            left_out=tuple(text.left_out),
            representations=RepresentationFacts(
                encoder=published_encoder(self._encoder.name),
                dim=vectors.dim,
                transfer=vectors.transfer.name,
                transfer_asked=vectors.asked,
                dtype=recipe.representations.dtype,
                has_image_side=self._encoder.has_image_side,
                num_long=vectors.num_long,
                long_captions=recipe.representations.long_captions,
                text_mean_norm=round(float(np.linalg.norm(vectors.statistics.text.mean)), 4),
                text_trace=round(vectors.statistics.text.trace, 4),
                image=image_facts(vectors),
            ),
            pretrain=facts["pretrain"],
            instruction=facts["instruction"],
            versions=versions(recipe),
        )


def _machines(work_dir: Path) -> list[str]:
    """What a build's engines ran on, all runs together."""
    try:
        return sorted(json.loads((work_dir / _MACHINES).read_bytes()))
    except (FileNotFoundError, ValueError):  # A card names no machine then; nothing else depends on it.
        return []


def _remember_machine(work_dir: Path, machine: str) -> None:
    known = _machines(work_dir)
    if machine not in known:
        write_json(work_dir / _MACHINES, [*known, machine])


def _stage_time(usage: Usage) -> StageTime:
    return StageTime(seconds=round(usage.seconds, 3), num_retries=usage.num_retries)
