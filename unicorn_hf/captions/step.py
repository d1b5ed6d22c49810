"""Stage 1, diverse caption synthesis: one dense caption per seed and sample, c = LLM(seed) (paper, section 3.1).

Candidates have a fixed order: all seeds in order for the first sample, then for the second, and so on. The set has the
captions of the shortest prefix of candidates with `num` captions after filters and deduplication, so neither the number
of workers nor a kill can change it. Later waves skip a seed without an answer.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.captions.candidates import Candidates, SelectedRecord
from unicorn_hf.captions.filters import Draft, code_identity, judge
from unicorn_hf.core.encoder import EncoderChoice, resolve_encoder
from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import Request
from unicorn_hf.core.ids import caption_id, stable_int
from unicorn_hf.core.language import language_of
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import CAPTION_PROMPTS, Prompt, load_prompt
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.schemas import CAPTIONS, SEEDS
from unicorn_hf.core.scoring import load_scorer
from unicorn_hf.core.words import words
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import read_table, take_rows
from unicorn_hf.runtime.generation import AskingJob, Counts, GenerationRecord, Outcomes, Usage, most_common, num_to_ask
from unicorn_hf.runtime.limits import RejectionLimit
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.rejections import explained
from unicorn_hf.runtime.selection import Picked, SeedShards
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.work import Work

STAGE = "captions"


@dataclass(frozen=True, kw_only=True)
class CaptionJob(AskingJob):
    """The captions of one sample for some seeds of one shard."""

    seeds: Path
    sample: int
    rows: range
    """Rows of the seed shard."""
    left_out: tuple[int, ...]
    """Rows among them without an answer in an earlier sample."""
    prompt: Prompt

    @property
    def path(self) -> Path:
        return self.shard(STAGE)

    def run(self, work: Work) -> GenerationRecord:
        places = [row for row in self.rows if row not in self.left_out]
        seeds = take_rows(read_table(self.seeds, SEEDS), places).to_pylist()
        requests = [self._request(row["seed"]) for row in seeds]
        asking, outcomes = self.asking(work), Outcomes(STAGE)
        answers = asking.ask(requests)
        outcomes.unanswered = [place for place, answer in zip(places, answers, strict=True) if not answer.may_come]
        recipe = self.recipe
        made = [
            judge(Draft(answer, row["seed"], recipe.language, recipe.is_across), recipe.captions.filters, self.prompt)
            for row, answer in zip(seeds, answers, strict=True)
        ]
        if self.scorer:
            made = self.scorer.sift(
                made, lambda place, caption: (requests[place].id, caption, requests[place].language), asking.ask
            )
        for row, request, answer, caption in zip(seeds, requests, answers, made, strict=True):
            if isinstance(caption, Rejected):
                outcomes.reject(request, caption, answer.text)
            else:
                outcomes.kept.append({"id": request.id, "caption": caption, "digest": digest_of(caption), **row})
        return outcomes.write(self, work, asking.answers, CAPTIONS)

    def _request(self, seed: str) -> Request:
        language = language_of(seed, self.recipe.language)
        row_id = caption_id(seed, self.prompt.version_in(language), self.sample)
        return Request(
            id=row_id,
            subject=seed,
            messages=self.prompt.messages(seed, f"{self.recipe.random_seed} {row_id}", language),
            sampling=self.recipe.captions.sampling,
            seed=stable_int(str(self.recipe.random_seed), row_id, bits=31),
            language=language,
        )


Done = Sequence[tuple[CaptionJob, GenerationRecord]]


@dataclass
class CaptionSet:
    """The captions of the set, by partition, in order."""

    picked: list[Picked] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    usage: Usage = field(default_factory=Usage)

    @property
    def num(self) -> int:
        return sum(len(picked.rows) for picked in self.picked)


@dataclass
class CaptionStage:
    """Runs partition after partition until enough captions are kept."""

    recipe: Recipe
    seeds: SeedShards
    generator: GeneratorSpec
    work_dir: Path
    answers: Path
    """The folder of the engine's stored answers."""

    def __post_init__(self) -> None:
        config = self.recipe.captions
        self._prompt = load_prompt(config.prompt, CAPTION_PROMPTS)
        asking = (self.generator.identity, self._prompt, config.sampling, self.recipe.random_seed)
        self._screen = load_scorer(config.screen, CAPTION_PROMPTS, self.recipe.random_seed, reason="unsafe_score")
        screening = (config.screen, self._screen.prompt) if self._screen else None
        self.earlier_answers = Step.of(self.work_dir, "answers-captions", *asking).folder
        """The folder in which earlier versions stored the answers of this stage."""
        filters = (config.filters, *config.filters.identity, code_identity())
        languages = (self.recipe.language, self.recipe.is_across)
        self.step = Step.of(self.work_dir, STAGE, *asking, *filters, *languages, screening)

    def run(self, pool: WorkerPool, progress: Progress) -> CaptionSet:
        """Make the captions.

        Raises:
            RunError: the recipe's bound on attempts or on rejections is reached; answers are kept.
        """
        wanted = self.recipe.captions.num
        progress.start(STAGE, wanted)
        candidates = Candidates(self.recipe.captions.near_duplicates, self.work_dir, self._encoder)
        made = self._found(candidates) or self._make(candidates, pool, progress)
        progress.known(made.num, made.counts.num_rejected)
        progress.finish()
        return made

    def _make(self, candidates: Candidates, pool: WorkerPool, progress: Progress) -> CaptionSet:
        wanted = self.recipe.captions.num
        done: list[tuple[CaptionJob, GenerationRecord]] = []
        waves: list[tuple[int, ...]] = [(0,)]
        made = CaptionSet()
        while made.num < wanted:
            waves.append(self._ends(waves[-1][-1], num_to_ask(wanted - made.num, made.counts)))
            wave = self._wave(waves[-1], done)
            if not wave:
                rejected = made.counts.rejected
                why = f"rejected: {most_common(rejected)}" if rejected else "nothing was rejected"
                raise RunError(
                    f"only {made.num:,} of {wanted:,} captions are kept after {made.counts.num_candidates:,}"
                    f" candidates ({why})",
                    f"{explained(STAGE, self.step.folder, rejected)}All answers are kept. Add seeds, raise"
                    " captions.max_attempts_per_caption or captions_per_seed,"
                    " or relax the bounds in captions.filters.",
                )
            limit = RejectionLimit(STAGE, self.step.folder, self.recipe.captions.max_rejected, made.counts, progress)
            records = pool.run(wave, limit.add, on_gpu=self.generator.uses_gpu)
            done += zip(wave, records, strict=True)
            candidates.add([job.path for job in wave], pool)
            selection, rows = candidates.select(wanted)
            used = np.arange(len(selection.kept)) < selection.num_used
            selected = SelectedRecord(
                inputs=self._selecting,
                num_bytes={},
                waves=tuple(waves),
                shards=_shards(done),
                left_out={
                    "duplicate": int((used & ~candidates.is_first).sum()),
                    "near_duplicate": int((used & candidates.is_first & ~selection.kept).sum()),
                },
                num_surplus=len(used) - selection.num_used,
            )
            made = _set_of(done, selected, rows)
        candidates.finish(selected, selection, rows)
        return made

    def _found(self, candidates: Candidates) -> CaptionSet | None:
        """The set of the last selection, if its inputs are unchanged."""
        selected = candidates.find_selected(self._selecting)
        if selected is None:
            return None
        done: list[tuple[CaptionJob, GenerationRecord]] = []
        for ends in selected.waves:
            for job in self._wave(ends, done):
                if (record := job.find()) is None:
                    return None
                done.append((job, record))
        if selected.shards != _shards(done):
            return None
        return _set_of(done, selected, candidates.selected_rows(selected))

    @cached_property
    def _encoder(self) -> EncoderChoice | None:
        """Only for semantic deduplication."""
        asked = self.recipe.representations
        if not self.recipe.captions.near_duplicates.semantic_threshold:
            return None
        return resolve_encoder(asked.encoder, asked.batch_size, asked.long_captions)

    @property
    def _selecting(self) -> str:
        """Fingerprint of the selection's inputs."""
        config, encoder = self.recipe.captions, self._encoder and self._encoder.text_identity
        return fingerprint(self.step.folder.name, self.seeds.identities, config.num, config.max_rejected, encoder)

    def _ends(self, begin: int, number: int) -> tuple[int, ...]:
        """Boundaries of the jobs for the next `number` candidates: each has candidates of one shard."""
        config = self.recipe.captions
        per_seed = config.captions_per_seed
        most = per_seed * self.seeds.num_seeds if per_seed else config.num * config.max_attempts_per_caption
        last = min(begin + number, most)
        ends = [begin]
        while (begin := ends[-1]) < last:
            _, shard, row = self._place(begin)
            num_rows = min(self.recipe.partition_rows, self.seeds.num_seeds - shard * self.recipe.partition_rows)
            ends.append(min(begin + num_rows - row, last))
        return tuple(ends)

    def _wave(self, ends: Sequence[int], done: Done) -> list[CaptionJob]:
        """The jobs between `ends`; `done` are those of earlier waves."""
        unanswered: dict[Path, set[int]] = defaultdict(set)
        if ends[-1] > self.seeds.num_seeds:
            for job, record in done:
                unanswered[job.seeds].update(record.unanswered)
        return [self._job(begin, end, unanswered) for begin, end in itertools.pairwise(ends)]

    def _place(self, candidate: int) -> tuple[int, int, int]:
        """Sample, seed shard and row of a candidate."""
        sample, seed = divmod(candidate, self.seeds.num_seeds)
        return sample, *divmod(seed, self.recipe.partition_rows)

    def _job(self, begin: int, end: int, unanswered: Mapping[Path, set[int]]) -> CaptionJob:
        sample, shard, row = self._place(begin)
        rows = range(row, row + end - begin)
        seeds = self.seeds.paths[shard]
        left_out = tuple(sorted(unanswered[seeds].intersection(rows))) if sample else ()
        partition = f"{sample:03d}-{shard:05d}" + (f"-{row:06d}" if row else "")
        return CaptionJob(
            step=self.step,
            partition=partition,
            inputs=fingerprint(self.seeds.identities[shard], sample, rows.start, rows.stop, left_out),
            label=f"{STAGE} {partition}, of {seeds}",
            answers=self.answers,
            seeds=seeds,
            sample=sample,
            rows=rows,
            left_out=left_out,
            prompt=self._prompt,
            recipe=self.recipe,
            generator=self.generator,
            scorer=self._screen,
        )


def _set_of(done: Done, selected: SelectedRecord, rows: Sequence[NDArray[np.int64]]) -> CaptionSet:
    counts = Counts.merged(record.counts for _, record in done).plus(
        Counts(
            num_candidates=-selected.num_surplus,
            num_kept=-sum(selected.left_out.values()) - selected.num_surplus,
            rejected={reason: number for reason, number in selected.left_out.items() if number},
        )
    )
    picked = [
        Picked(job.partition, job.path, record.content, tuple(here.tolist()))
        for (job, record), here in zip(done, rows, strict=True)
    ]
    return CaptionSet(picked, counts, Usage.merged(record.usage for _, record in done))


def _shards(done: Done) -> str:
    return fingerprint([record.content for _, record in done])


def digest_of(caption: str) -> int:
    return stable_int("caption", " ".join(words(caption)))
