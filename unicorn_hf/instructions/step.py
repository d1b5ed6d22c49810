"""Stage 2, instruction-tuning data: captions become multi-turn conversations of three families (paper, section 3.2).

Candidates have a fixed order: round by round, in each the captions in the set's order. A hash of a caption's id gives
the task that it is asked for in the first round; in each further round, captions that have no conversation yet are
asked for the next task, if that one still lacks conversations. A conversation is kept if its task still has room, and
its caption none: so a caption whose conversation is rejected gives its place to the next one.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.ids import stable_fraction, stable_int
from unicorn_hf.core.outcome import Rejected, unanswered
from unicorn_hf.core.prompts import Prompt, load_prompt
from unicorn_hf.core.recipe import Instructions, PairRange, Recipe, TaskName
from unicorn_hf.core.schemas import CAPTIONS, INSTRUCTIONS
from unicorn_hf.engines.specs import GeneratorSpec
from unicorn_hf.instructions.filters import check_conversation
from unicorn_hf.instructions.tasks import Turn, conversation, json_schema, parse
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.files import read_table, take_rows
from unicorn_hf.runtime.generation import Counts, GenerationRecord, Outcomes, Usage, most_common
from unicorn_hf.runtime.limits import RejectionLimit
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.workers import resident

STAGE = "instructions"
PROMPTS = Path(__file__).parent / "prompts"
CODE = 4
"""Raise it when parsing or filters change what they keep: conversations are derived again from the stored answers."""


@dataclass(frozen=True)
class InstructionJob:
    """The conversations of one partition's captions in one round."""

    step: Step
    answers: Path
    partition: str
    captions: Picked
    """The captions that have no conversation yet."""
    round: int
    open_tasks: tuple[TaskName, ...]
    prompts: Mapping[TaskName, Prompt]
    config: Instructions
    generator: GeneratorSpec
    random_seed: int

    @property
    def inputs(self) -> str:
        return fingerprint(self.captions.identity, self.open_tasks)

    def find(self) -> GenerationRecord | None:
        return self.step.find(self.partition, self.inputs, GenerationRecord)

    def run(self, on_row: Callable[[], None]) -> GenerationRecord:
        outcomes = Outcomes(STAGE)
        pending = self._candidates()
        store = AnswerStore(self.answers / f"{self.partition}.parquet")
        for attempt in range(self.config.attempts):
            last = attempt + 1 == self.config.attempts
            requests = [self._request(candidate, attempt) for candidate in pending]
            answers = store.answer(requests, lambda: resident(self.generator.identity, self.generator.open), on_row)
            outcomes.answers += answers
            failed = []
            for candidate, request, answer in zip(pending, requests, answers, strict=True):
                pairs = self.config.tasks.by_name()[candidate.task].pairs
                turns = judge(candidate, answer, pairs, self.prompts[candidate.task])
                if not isinstance(turns, Rejected):
                    outcomes.kept.append(candidate.kept(turns))
                elif last or answer.finish_reason == "context":
                    outcomes.reject(request, turns, answer.text)
                else:
                    failed.append(candidate)
            pending = failed
        outcomes.kept.sort(key=lambda row: int(row["row"]))
        return outcomes.write(self.step, self.partition, self.inputs, INSTRUCTIONS)

    def _candidates(self) -> list["Candidate"]:
        captions = take_rows(read_table(self.captions.path, CAPTIONS, ["id", "caption"]), self.captions.rows)
        candidates = []
        for row, caption in zip(self.captions.rows, captions.to_pylist(), strict=True):
            task = task_in_round(self.config, caption["id"], self.round)
            if task in self.open_tasks:
                candidates.append(Candidate(caption["id"], caption["caption"], row, task))
        return candidates

    def _request(self, candidate: "Candidate", attempt: int) -> Request:
        task = self.config.tasks.by_name()[candidate.task]
        seed = stable_int(str(self.random_seed), candidate.id, candidate.task, str(attempt), bits=31)
        return Request(
            id=candidate.id,
            subject=candidate.caption,
            messages=self.prompts[candidate.task].messages(candidate.caption),
            sampling=self.config.sampling,
            seed=seed,
            json_schema=json_schema(candidate.task, task.pairs),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A caption that is asked for a conversation of one task."""

    id: str
    caption: str
    row: int
    task: TaskName

    def kept(self, turns: Sequence[Turn]) -> dict[str, object]:
        return {"id": self.id, "row": self.row, "task": self.task, "conversations": conversation(turns)}


def judge(candidate: Candidate, answer: Answer, pairs: PairRange, prompt: Prompt) -> tuple[Turn, ...] | Rejected:
    """The turns that an answer holds, or why it is not kept."""
    if nothing := unanswered(answer):
        return nothing
    if answer.finish_reason == "length":
        return Rejected("unfinished", "cut at max_tokens")
    turns = parse(candidate.task, answer.text, candidate.id)
    if isinstance(turns, Rejected):
        return turns
    for text in (text for turn in turns for text in (turn.question, turn.answer, *turn.options)):
        if copied := prompt.copied(text):
            return Rejected("copied_example", copied)
    return check_conversation(candidate.task, turns, pairs) or turns


def task_in_round(config: Instructions, caption_id: str, round_number: int) -> TaskName:
    """The task that a caption is asked for: by weight in the first round, then the others in turn."""
    weights = _weights(config)
    point = stable_fraction("task", caption_id) * sum(weights.values())
    names = list(weights)
    first = 0
    while point >= weights[names[first]] and first + 1 < len(names):
        point -= weights[names[first]]
        first += 1
    return names[(first + round_number) % len(names)]


def quotas(config: Instructions) -> dict[TaskName, int]:
    """Conversations of each task: `num` in proportion to the weights, the largest remainders rounded up."""
    weights = _weights(config)
    exact = {task: config.num * weight / sum(weights.values()) for task, weight in weights.items()}
    parts = {task: int(number) for task, number in exact.items()}
    by_remainder = sorted(exact, key=lambda task: parts[task] - exact[task])
    for task in by_remainder[: config.num - sum(parts.values())]:
        parts[task] += 1
    return parts


def _weights(config: Instructions) -> dict[TaskName, float]:
    return {name: task.weight for name, task in config.tasks.by_name().items() if task.weight}


@dataclass
class InstructionSet:
    """The conversations of the set: for each caption partition, rows of the shards of one or more rounds."""

    picked: dict[str, list[Picked]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    usage: Usage = field(default_factory=Usage)
    per_task: Counter[TaskName] = field(default_factory=Counter)
    num_surplus: int = 0
    """Kept by the filters, but more than their task had room for."""

    @property
    def num(self) -> int:
        return self.per_task.total()


@dataclass
class InstructionStage:
    """Asks round after round, partition after partition, until each task has its conversations."""

    recipe: Recipe
    captions: Sequence[Picked]
    generator: GeneratorSpec
    work_dir: Path

    def __post_init__(self) -> None:
        config = self.recipe.instructions
        self._prompts = {name: load_prompt(task.prompt, PROMPTS) for name, task in config.tasks.by_name().items()}
        self._quotas = quotas(config)
        asking = (self.generator.identity, self._prompts, config.tasks, config.sampling, self.recipe.random_seed)
        self.answers = Step.of(self.work_dir, "answers-instructions", *asking).folder
        self.step = Step.of(self.work_dir, STAGE, *asking, config.attempts, CODE)

    def run(self, pool: WorkerPool, progress: Progress) -> InstructionSet:
        """Make the conversations.

        Raises:
            RunError: every caption was asked for every task, or the recipe's limit of rejections is reached.
        """
        wanted = self.recipe.instructions.num
        progress.start(STAGE, wanted)
        made = InstructionSet()
        without = [set(picked.rows) for picked in self.captions]
        for round_number in range(len(self._quotas)):
            position = 0
            while made.num < wanted and position < len(self.captions):
                wave = self._wave(round_number, position, without, made)
                limit = RejectionLimit(STAGE, self.recipe.instructions.max_rejected, made.counts, progress)
                records = pool.run(wave, limit.add, overlap=True)
                for offset, (job, record) in enumerate(zip(wave, records, strict=True)):
                    self._pick(made, job, record, without[position + offset])
                position += len(wave)
        if made.num < wanted:
            raise RunError(
                self._shortfall(made),
                "All answers are kept. More captions, more instructions.attempts or an"
                " easier prompt (fewer pairs) will bring the rest.",
            )
        progress.known(made.num, made.counts.num_rejected)
        progress.finish()
        return made

    def _open_tasks(self, made: InstructionSet) -> tuple[TaskName, ...]:
        return tuple(task for task, quota in self._quotas.items() if made.per_task[task] < quota)

    def _wave(
        self, round_number: int, position: int, without: Sequence[set[int]], made: InstructionSet
    ) -> list[InstructionJob]:
        """The next partitions, as many as are expected to hold what the neediest task lacks."""
        rate = made.counts.num_kept / made.counts.num_candidates if made.counts.num_candidates else 1.0
        lacking = max((quota - made.per_task[task]) / quota for task, quota in self._quotas.items() if quota)
        needed = lacking * self.recipe.instructions.num / max(rate, 0.01)
        jobs: list[InstructionJob] = []
        num_rows = 0
        open_tasks = self._open_tasks(made)
        while num_rows < needed and position + len(jobs) < len(self.captions):
            at = position + len(jobs)
            jobs.append(self._job(round_number, self.captions[at], without[at], open_tasks))
            num_rows += len(without[at])
        return jobs

    def _job(
        self, round_number: int, captions: Picked, rows: set[int], open_tasks: tuple[TaskName, ...]
    ) -> InstructionJob:
        return InstructionJob(
            step=self.step,
            answers=self.answers,
            partition=f"{captions.partition}-{round_number}",
            captions=replace(captions, rows=tuple(sorted(rows))),
            round=round_number,
            open_tasks=open_tasks,
            prompts=self._prompts,
            config=self.recipe.instructions,
            generator=self.generator,
            random_seed=self.recipe.random_seed,
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
        picked = Picked(job.partition, path, job.inputs, tuple(rows))
        made.picked.setdefault(job.captions.partition, []).append(picked)
        made.counts = made.counts.plus(record.counts).plus(Counts(num_kept=-num_surplus, num_candidates=-num_surplus))
        made.usage = made.usage.plus(record.usage)
        made.num_surplus += num_surplus

    def _shortfall(self, made: InstructionSet) -> str:
        lacking = ", ".join(f"{made.per_task[task]:,} of {quota:,} {task}" for task, quota in self._quotas.items())
        return (
            f"only {made.num:,} of {self.recipe.instructions.num:,} conversations are kept ({lacking}) after every"
            f" caption was asked for every task; rejected: {most_common(made.counts.rejected)}"
        )
