"""Runs the jobs of a wave in this process until they need an answer that is not stored, and collects the requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.generation import Request
from unicorn_hf.runtime.generation import AskingJob
from unicorn_hf.runtime.steps import PartitionJob, RecordT
from unicorn_hf.runtime.work import Work

Take = Callable[[Mapping[str, Request]], bool]
"""Takes requests without an answer, by key; returns whether any of them may still get one."""


class _AnswersMissingError(Exception):
    """A job has to wait for answers."""


@dataclass(frozen=True, slots=True)
class _Collecting(GeneratorSpec):
    """An engine that passes on requests instead of sending them."""

    take: Take = field(kw_only=True)

    def missing(self, requests: Mapping[str, Request]) -> None:
        if self.take(requests):
            raise _AnswersMissingError


def jobs_that_wait(jobs: Sequence[PartitionJob[Any]], take: Take) -> Iterator[PartitionJob[Any]]:
    """Yield the jobs that wait for an answer, after `take` has got the requests.

    A job whose answers are all stored is done here; the pool then finds its record. Jobs that use no language model are
    not run.
    """
    work = Work()
    try:
        for job in jobs:
            if not isinstance(job, AskingJob) or job.find():
                continue
            spec = job.generator
            with suppress(_AnswersMissingError):
                replace(job, generator=_Collecting(spec.engine, spec.identity, spec.model, take=take)).run(work)
                continue
            yield job
    finally:
        work.slot.let_go(work.terms.build)


class PoolHere:
    """Implements `WorkerPool` in this process."""

    def __init__(self) -> None:
        self.work = Work()

    def run(
        self, jobs: Sequence[PartitionJob[RecordT]], on_record: Callable[[RecordT], None], *, on_gpu: bool = False
    ) -> list[RecordT]:
        records = []
        for job in jobs:
            records.append(job.find() or job.run(self.work))
            on_record(records[-1])
        return records

    def close(self) -> None:
        """Close the engine."""
        self.work.slot.let_go(self.work.terms.build)
