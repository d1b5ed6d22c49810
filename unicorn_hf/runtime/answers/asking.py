"""Send the requests that have no stored answer to an engine, and store each answer as it arrives."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from unicorn_hf.core.errors import EngineDiedError
from unicorn_hf.core.generation import Answer, Request, TextGenerator
from unicorn_hf.runtime.answers.store import store_at
from unicorn_hf.runtime.attempts import WORKER_DIED, Attempts, Part
from unicorn_hf.runtime.work import Work


class Generator(Protocol):
    """Opens the text generator in a worker."""

    @property
    def identity(self) -> str: ...

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are stored."""
        ...

    def open(self) -> TextGenerator: ...


@dataclass
class Asking:
    """Gets the answers of a partition, from the store or the engine."""

    work: Work
    generator: Generator
    store: Path
    """The folder of the engine's answers."""
    attempts: Path
    """The file that records failed requests of the partition."""
    answers: list[Answer] = field(default_factory=list)
    """All answers returned so far."""

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Return answers in the order of `requests`, and report each as a row. Stored answers are reused.

        Each answer is stored as it arrives, even if the engine fails later; failed answers are not stored. When the
        engine dies, it is closed and a new one opened.

        Raises:
            RunError: the engine failed, or keeps dying.
        """
        store = store_at(self.store)
        keys = [request.key for request in requests]
        answers = store.find(keys)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        self.work.rows(len(requests) - len(missing))
        self.work.tell_answers(found=len(keys) - len(missing), asked=len(missing))
        if missing:
            try:
                _Asked(self, missing, answers).all()
            finally:
                store.flush()
        in_order = [answers[key] for key in keys]
        self.answers += in_order
        return in_order


@dataclass
class _Asked:
    """Requests that are sent, and the answers that they get."""

    asking: Asking
    requests: dict[str, Request]
    answers: dict[str, Answer]

    def all(self) -> None:
        work, generator = self.asking.work, self.asking.generator
        attempts = Attempts(self.asking.attempts, work.terms.build, list(self.requests))
        if attempts.num_interrupted:
            work.tell_bad_end(attempts.num_interrupted, WORKER_DIED)
        with work.waiting():
            for part in attempts:
                with work.engine(generator.identity, generator.open, alone=part.alone) as engine:
                    attempts.begin(part)
                    try:
                        self._part(engine, part.keys)
                    except EngineDiedError as error:
                        work.tell_bad_end(len(part.keys), error.message)
                        work.discard(engine)
                        attempts.ended_badly(part.only(self.requests.keys() - self.answers.keys()), error.message)
                    else:
                        attempts.answered()
        for part in attempts.fatal:
            for key in part.keys:
                self._came(key, _fatal(part))
        attempts.close()

    def _part(self, engine: TextGenerator, keys: Sequence[str]) -> None:
        with self.asking.work.slot.working.lap() as lap:
            told_s = 0.0
            for position, answer in engine.generate([self.requests[key] for key in keys]):
                share_s = lap.seconds()
                self._came(keys[position], replace(answer, seconds=share_s - told_s))
                told_s = share_s

    def _came(self, key: str, answer: Answer) -> None:
        self.answers[key] = answer
        if answer.finish_reason != "failed" and self.asking.generator.keeps_answers:
            store_at(self.asking.store).keep(key, answer)
            if not answer.tokens_told:
                self.asking.work.tell_no_usage()
        self.asking.work.rows()


def _fatal(part: Part) -> Answer:
    return Answer(f"sent alone {part.bad_ends} times: {part.why}", "fatal", 0, 0)
