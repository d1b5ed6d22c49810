"""Stage 2, instruction-tuning data: captions become multi-turn conversations of several families (paper, section 3.2).

Candidates have a fixed order: round by round, with the captions in the set's order. A hash of a caption's id selects
its task in the first round; in each further round, captions without a conversation get the next task, if that one still
lacks conversations. A conversation is kept if its task is below its quota and its caption has none, so the next caption
takes the place of a rejected conversation.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import Request
from unicorn_hf.core.ids import stable_fraction, stable_int
from unicorn_hf.core.language import language_of
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import INSTRUCTION_PROMPTS, Prompt, load_prompt, prompt_name
from unicorn_hf.core.recipe import Instructions, Recipe
from unicorn_hf.core.schemas import CAPTIONS, INSTRUCTIONS
from unicorn_hf.core.scoring import load_scorer
from unicorn_hf.instructions.reading import Candidate, Conversation, code_identity, read_conversation
from unicorn_hf.instructions.turns import question_with_options
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import read_table, take_rows
from unicorn_hf.runtime.generation import AskingJob, Counts, GenerationRecord, Outcomes, Usage, most_common, num_to_ask
from unicorn_hf.runtime.limits import RejectionLimit
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.rejections import explained
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.work import Work

STAGE = "instructions"


@dataclass(frozen=True)
class TaskPrompt:
    """A task's prompt in its file (`source`), and for the model (`asked`), in the recipe's format."""

    source: Prompt
    asked: Prompt


def load_prompts(config: Instructions) -> dict[str, TaskPrompt]:
    """Load the prompts of all tasks.

    Raises:
        InputError: there is no such prompt, it is invalid, or one of its examples is no answer of its task.
    """
    prompts = {}
    for name, task in config.tasks.by_name().items():
        source = load_prompt(task.prompt, INSTRUCTION_PROMPTS)
        try:
            prompts[name] = TaskPrompt(source, task.asked(source))
        except ValueError as error:
            raise InputError(
                f"the prompt {prompt_name(task.prompt)} for {name}: {error}",
                "Write examples as JSON, as in the bundled prompts.",
            ) from error
    return prompts


@dataclass(frozen=True, kw_only=True)
class InstructionJob(AskingJob):
    """The conversations of one partition's captions in one round."""

    captions: Picked
    """The captions without a conversation."""
    round: int
    open_tasks: tuple[str, ...]
    prompts: Mapping[str, TaskPrompt]

    def run(self, work: Work) -> GenerationRecord:
        config, languages = self.recipe.instructions, self.recipe.language
        asking, outcomes, pending = self.asking(work), Outcomes(STAGE), self._candidates()
        for attempt in range(config.attempts):
            last = attempt + 1 == config.attempts
            requests = [self._request(candidate, attempt) for candidate in pending]
            answers = asking.ask(requests)
            read = [
                read_conversation(candidate, answer, config, self.prompts[candidate.task].source, languages)
                for candidate, answer in zip(pending, answers, strict=True)
            ]
            if self.scorer:
                read = self.scorer.sift(read, partial(_described, pending), asking.ask)
            failed = []
            for candidate, request, answer, made in zip(pending, requests, answers, read, strict=True):
                if not isinstance(made, Rejected):
                    outcomes.keep(candidate.kept(made.turns), made.dropped)
                elif last or answer.is_hopeless:
                    outcomes.reject(request, made, answer.text)
                else:
                    failed.append(candidate)
            pending = failed
        outcomes.kept.sort(key=lambda row: int(row["row"]))
        return outcomes.write(self, work, asking.answers, INSTRUCTIONS)

    def _candidates(self) -> list[Candidate]:
        captions = take_rows(read_table(self.captions.path, CAPTIONS, ["id", "caption"]), self.captions.rows)
        candidates = []
        for row, caption in zip(self.captions.rows, captions.to_pylist(), strict=True):
            task = task_in_round(self.recipe.instructions, caption["id"], self.round)
            if task in self.open_tasks:
                language = language_of(caption["caption"], self.recipe.language)
                candidates.append(Candidate(caption["id"], caption["caption"], row, task, language))
        return candidates

    def _request(self, candidate: Candidate, attempt: int) -> Request:
        config = self.recipe.instructions
        task = config.tasks.by_name()[candidate.task]
        schema, guided = task.json_schema(), task.answer_format.guided
        return Request(
            id=candidate.id,
            subject=candidate.caption,
            messages=self.prompts[candidate.task].asked.messages(candidate.caption, language=candidate.language),
            sampling=config.sampling,
            seed=stable_int(str(self.recipe.random_seed), candidate.id, candidate.task, str(attempt), bits=31),
            json_schema=schema if guided else None,
            tagged_schema=None if guided else schema,
            language=candidate.language,
        )


def _described(candidates: Sequence[Candidate], place: int, made: Conversation) -> tuple[str, str, str]:
    """Id, text and language of a conversation, for the judge."""
    candidate = candidates[place]
    pairs = "\n\n".join(f"Question: {question_with_options(turn)}\nAnswer: {turn.answer}" for turn in made.turns)
    return candidate.id, f"Scene: {candidate.caption}\n\n{pairs}", candidate.language


def task_in_round(config: Instructions, caption_id: str, round_number: int) -> str:
    """The task of a caption: by weight in the first round, then the others in turn."""
    weights = _weights(config)
    names = list(weights)
    point = stable_fraction("task", caption_id) * sum(weights.values())
    first = min(bisect(list(accumulate(weights.values())), point), len(names) - 1)
    return names[(first + round_number) % len(names)]


def quotas(config: Instructions) -> dict[str, int]:
    """Conversations of each task: `num` in proportion to the weights, by the largest remainder method."""
    weights = _weights(config)
    exact = {task: config.num * weight / sum(weights.values()) for task, weight in weights.items()}
    parts = {task: int(number) for task, number in exact.items()}
    by_remainder = sorted(exact, key=lambda task: parts[task] - exact[task])
    for task in by_remainder[: config.num - sum(parts.values())]:
        parts[task] += 1
    return parts


def _weights(config: Instructions) -> dict[str, float]:
    return {name: task.weight for name, task in config.tasks.by_name().items() if task.weight}


@dataclass
class InstructionSet:
    """The conversations of the set: rows of the shards of one or more rounds for each caption partition."""

    picked: dict[str, list[Picked]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    usage: Usage = field(default_factory=Usage)
    per_task: Counter[str] = field(default_factory=Counter)

    @property
    def num(self) -> int:
        return sum(len(picked.rows) for parts in self.picked.values() for picked in parts)


@dataclass
class InstructionStage:
    """Runs round after round, partition after partition, until each task has its conversations."""

    recipe: Recipe
    captions: Sequence[Picked]
    generator: GeneratorSpec
    work_dir: Path
    answers: Path
    """The folder of the engine's stored answers."""

    def __post_init__(self) -> None:
        config = self.recipe.instructions
        self._prompts = load_prompts(config)
        self._scorer = load_scorer(config.judge, INSTRUCTION_PROMPTS, self.recipe.random_seed)
        self._quotas = quotas(config)
        asked = {name: prompt.asked for name, prompt in self._prompts.items()}
        asking = (self.generator.identity, asked, config.sampling, self.recipe.random_seed)
        judging = (config.judge, self._scorer.prompt) if self._scorer else None
        self.earlier_answers = Step.of(self.work_dir, "answers-instructions", *asking).folder
        """The folder in which earlier versions stored the answers of this stage."""
        tasks = (config.tasks, *config.tasks.identity, code_identity())
        self.step = Step.of(self.work_dir, STAGE, *asking, *tasks, config.attempts, self.recipe.language, judging)

    def run(self, pool: WorkerPool, progress: Progress) -> InstructionSet:
        """Make the conversations.

        Raises:
            RunError: every caption was tried for every task, or the recipe's limit of rejections is reached.
        """
        wanted, made = self.recipe.instructions.num, InstructionSet()
        if not wanted:
            return made
        progress.start(STAGE, wanted)
        without = [set(picked.rows) for picked in self.captions]
        for round_number in range(len(self._quotas)):
            at = row = 0
            while made.num < wanted and at < len(self.captions):
                wave, at, row = self._wave(round_number, at, row, without, made)
                limit = RejectionLimit(
                    STAGE, self.step.folder, self.recipe.instructions.max_rejected, made.counts, progress
                )
                records = pool.run(list(wave.values()), limit.add, on_gpu=self.generator.uses_gpu)
                for (place, job), record in zip(wave.items(), records, strict=True):
                    self._pick(made, job, record, without[place])
        if made.num < wanted:
            lacking = ", ".join(f"{made.per_task[task]:,} of {quota:,} {task}" for task, quota in self._quotas.items())
            raise RunError(
                f"only {made.num:,} of {wanted:,} conversations are kept ({lacking}) after every caption was tried for"
                f" every task; rejected: {most_common(made.counts.rejected)}",
                f"{explained(STAGE, self.step.folder, made.counts.rejected)}All answers are kept. Add captions, raise"
                " instructions.attempts, relax these filters, or use an easier prompt (fewer pairs).",
            )
        progress.known(made.num, made.counts.num_rejected)
        progress.finish()
        return made

    def _wave(
        self, round_number: int, at: int, first: int, without: Sequence[set[int]], made: InstructionSet
    ) -> tuple[dict[int, InstructionJob], int, int]:
        """Jobs by partition, from a partition and its row on, and the partition and row after them.

        They have as many captions as the neediest task probably needs; the last job has only a part of its partition.
        """
        open_tasks = tuple(task for task, quota in self._quotas.items() if made.per_task[task] < quota)
        weights = _weights(self.recipe.instructions)
        total = sum(weights[task] for task in open_tasks)
        # For all open tasks together, until the neediest one reaches its quota.
        lacking = max((self._quotas[task] - made.per_task[task]) / weights[task] * total for task in open_tasks)
        num_missing = num_to_ask(lacking, made.counts)
        jobs: dict[int, InstructionJob] = {}
        while num_missing > 0 and at < len(self.captions):
            rows = sorted(row for row in without[at] if row >= first)
            asked = self._asked(self.captions[at], rows, round_number, open_tasks)
            end = asked[num_missing] if num_missing < len(asked) else None
            if asked:
                here = [row for row in rows if end is None or row < end]
                jobs[at] = self._job(round_number, self.captions[at], here, open_tasks)
            if end is not None:
                return jobs, at, end
            num_missing -= len(asked)
            at, first = at + 1, 0
        return jobs, at, 0

    def _asked(
        self, captions: Picked, rows: Sequence[int], round_number: int, open_tasks: Sequence[str]
    ) -> Sequence[int]:
        """The rows whose task in this round is open."""
        if len(open_tasks) == len(self._quotas) or not rows:
            return rows
        ids = take_rows(read_table(captions.path, CAPTIONS, ["id"]), rows).column("id").to_pylist()
        config = self.recipe.instructions
        return [
            row for row, name in zip(rows, ids, strict=True) if task_in_round(config, name, round_number) in open_tasks
        ]

    def _job(
        self, round_number: int, captions: Picked, rows: Sequence[int], open_tasks: tuple[str, ...]
    ) -> InstructionJob:
        first = f"-{rows[0]:06d}" if rows[0] != captions.rows[0] else ""
        partition = f"{captions.partition}-{round_number}{first}"
        captions = replace(captions, rows=tuple(rows))
        return InstructionJob(
            step=self.step,
            partition=partition,
            inputs=fingerprint(captions.identity, open_tasks),
            label=f"{STAGE} {partition}, of {captions.path}",
            answers=self.answers,
            captions=captions,
            round=round_number,
            open_tasks=open_tasks,
            prompts=self._prompts,
            scorer=self._scorer,
            recipe=self.recipe,
            generator=self.generator,
        )

    def _pick(self, made: InstructionSet, job: InstructionJob, record: GenerationRecord, without: set[int]) -> None:
        path = self.step.shard(job.partition, STAGE)
        table = read_table(path, INSTRUCTIONS, ["row", "task"])
        rows = []
        for index, (row, task) in enumerate(zip(*table.to_pydict().values(), strict=True)):
            if made.per_task[task] < self._quotas[task]:
                made.per_task[task] += 1
                without.discard(row)
                rows.append(index)
        num_surplus = table.num_rows - len(rows)
        picked = Picked(job.partition, path, record.content, tuple(rows))
        made.picked.setdefault(job.captions.partition, []).append(picked)
        made.counts = made.counts.plus(record.counts).plus(Counts(num_kept=-num_surplus, num_candidates=-num_surplus))
        made.usage = made.usage.plus(record.usage)
