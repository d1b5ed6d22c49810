"""Turn a partition's candidates into shards: kept rows, rejections with their raw text, and the counts of both."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.figures import Figures
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.outcome import NOT_ANSWERED, Rejected
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.schemas import REJECTIONS
from unicorn_hf.core.scoring import Scorer
from unicorn_hf.runtime.answers import Asking
from unicorn_hf.runtime.files import rows_table, write_table
from unicorn_hf.runtime.steps import PartitionJob, Record
from unicorn_hf.runtime.work import Work

REJECTED = "rejections"
_DEVIATIONS = 2.0


class Counts(Figures):
    """Candidates of a generating stage: `num_kept` and `rejected` add up to `num_candidates`."""

    num_candidates: int = 0
    num_kept: int = 0
    rejected: dict[str, int] = {}
    dropped: dict[str, int] = {}
    """Parts of kept rows that were removed, by reason: pairs of a conversation."""
    num_requests: int = 0
    """Answers that the candidates needed, stored ones included."""
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_estimated: int = 0
    """Answers whose tokens the engine did not count: the counts contain an estimate."""

    @property
    def num_rejected(self) -> int:
        return sum(self.rejected.values())

    @property
    def num_tokens(self) -> int:
        """Of prompts and answers together."""
        return self.num_prompt_tokens + self.num_output_tokens


class Usage(Figures):
    """Engine usage of the answers. Unlike the counts it differs between runs: it is never published as a fact.

    The store keeps it with each answer, so captions derived again from stored answers report the original cost.
    """

    num_retries: int = 0
    seconds: float = 0.0
    """Engine time, summed over workers, without the engine's start."""
    prompt_tokens_squared: float = 0.0
    """Sum over the answers; with `Counts` it gives the variance."""
    output_tokens_squared: float = 0.0

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Usage":
        return cls(
            num_retries=sum(answer.num_retries for answer in answers),
            seconds=round(sum(answer.seconds for answer in answers), 3),
            prompt_tokens_squared=float(sum(answer.num_prompt_tokens**2 for answer in answers)),
            output_tokens_squared=float(sum(answer.num_output_tokens**2 for answer in answers)),
        )


class GenerationRecord(Record):
    content: str
    """The seal of the shard of kept rows: the same requests may get other answers in another run."""
    counts: Counts
    usage: Usage = Usage()
    unanswered: tuple[int, ...] = ()
    """Positions of candidates that were sent and got no answer: another sample of their prompt gets none either."""

    @property
    def is_final(self) -> bool:
        return NOT_ANSWERED not in self.counts.rejected


@dataclass(frozen=True, kw_only=True)
class AskingJob(PartitionJob[GenerationRecord]):
    """Gets the rows of one partition from the text generator."""

    record_type = GenerationRecord
    overlap = True
    recipe: Recipe
    generator: GeneratorSpec
    answers: Path
    """The folder of the engine's stored answers."""
    scorer: Scorer | None

    def asking(self, work: Work) -> Asking:
        return Asking(work, self.generator, self.answers, self.step.attempts(self.partition))


@dataclass
class Outcomes:
    """Collects the outcome of each candidate of a partition, then writes the shards."""

    stage: str
    kept: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    unanswered: list[int] = field(default_factory=list)
    """See `GenerationRecord`."""

    def keep(self, row: dict[str, Any], dropped: Sequence[Rejected] = ()) -> None:
        """Keep a row, whose parts in `dropped` were removed."""
        self.kept.append(row)
        self.dropped.update(part.reason for part in dropped)

    def reject(self, request: Request, why: Rejected, raw: str) -> None:
        self.rejected.append(why.row(self.stage, request.id, request.subject, raw))

    def write(
        self, job: PartitionJob[GenerationRecord], work: Work, answers: Sequence[Answer], schema: pa.Schema
    ) -> GenerationRecord:
        """Write both shards, then the record; `answers` are all that the candidates needed."""
        content = write_table(job.shard(self.stage), rows_table(self.kept, schema), schema)
        write_table(job.shard(REJECTED), rows_table(self.rejected, REJECTIONS), REJECTIONS)
        counts = Counts(
            num_candidates=len(self.kept) + len(self.rejected),
            num_kept=len(self.kept),
            rejected=dict(sorted(Counter(row["reason"] for row in self.rejected).items())),
            dropped=dict(sorted(self.dropped.items())),
            num_requests=len(answers),
            num_prompt_tokens=sum(answer.num_prompt_tokens for answer in answers),
            num_output_tokens=sum(answer.num_output_tokens for answer in answers),
            num_estimated=sum(not answer.tokens_told for answer in answers),
        )
        facts = {"content": content, "counts": counts, "usage": Usage.of(answers)}
        return job.finish(work, self.stage, REJECTED, **facts, unanswered=tuple(self.unanswered))


def num_to_ask(missing: float, so_far: Counts) -> int:
    """Number of candidates that probably yield the missing rows, given the share kept so far.

    It adds two standard deviations: a wave that falls short costs the latency of another one for a few rows. Before the
    first request it equals the number of missing rows.
    """
    if not so_far.num_candidates:
        return math.ceil(missing)
    # At least 1%: when nothing has passed the filters yet, one wave must not request everything.
    kept = max(so_far.num_kept / so_far.num_candidates, 0.01)
    return math.ceil((missing + _DEVIATIONS * math.sqrt(missing * (1 - kept))) / kept)


def most_common(rejected: Mapping[str, int], number: int = 4) -> str:
    """The most common reasons as a phrase, e.g. `1,204 too_short, 33 markup`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in Counter(rejected).most_common(number))
