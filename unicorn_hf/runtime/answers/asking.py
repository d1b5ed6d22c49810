"""Ask an engine for what is not stored, and store each answer as it comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unicorn_hf.core.errors import EngineDiedError
from unicorn_hf.core.generation import Answer, Request, TextGenerator
from unicorn_hf.runtime.answers.store import store_at
from unicorn_hf.runtime.attempts import WORKER_DIED, Attempts, Part
from unicorn_hf.runtime.running import build_name, tell_answers, tell_bad_end, tell_no_usage
from unicorn_hf.runtime.stopwatch import Stopwatch
from unicorn_hf.runtime.workers import discard, using, waiting

_working = Stopwatch()
"""Of this process's engine: the partitions that it serves at once share its time."""


@dataclass(frozen=True)
class Asking:
    """How a partition gets its answers."""

    store: Path
    """The folder of the engine's answers."""
    attempts: Path
    """The file about requests of the partition that end badly."""
    keeps: bool = True
    """Whether answers are stored."""

    def answer(
        self, requests: Sequence[Request], generator: Callable[[], TextGenerator], on_answer: Callable[[], None]
    ) -> list[Answer]:
        """Answers in the order of `requests`. Only what is not stored is asked; else `generator` is not called.

        Answers that came are stored even where the engine fails before the last of them. Failed ones are not stored. An
        engine that dies is closed, and `generator` called for another.

        Raises:
            RunError: the engine failed, or each one that is opened dies.
        """
        store = store_at(self.store)
        keys = [request.key for request in requests]
        answers = store.find(keys)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        for _ in range(len(requests) - len(missing)):
            on_answer()
        tell_answers(found=len(keys) - len(missing), asked=len(missing))
        if missing:
            try:
                _Asked(self, missing, on_answer, answers).all(generator)
            finally:
                store.flush()
        return [answers[key] for key in keys]


@dataclass
class _Asked:
    """Requests that are asked, and the answers that they get."""

    asking: Asking
    requests: dict[str, Request]
    on_answer: Callable[[], None]
    answers: dict[str, Answer] = field(default_factory=dict)

    def all(self, generator: Callable[[], TextGenerator]) -> None:
        attempts = Attempts(self.asking.attempts, build_name(), list(self.requests))
        if attempts.num_interrupted:
            tell_bad_end(attempts.num_interrupted, WORKER_DIED)
        with waiting():
            for part in attempts:
                with using(generator, alone=part.alone) as engine:
                    attempts.begin(part)
                    try:
                        self._part(engine, part.keys)
                    except EngineDiedError as error:
                        tell_bad_end(len(part.keys), error.message)
                        discard(engine)
                        attempts.ended_badly(part.only(self.requests.keys() - self.answers.keys()), error.message)
                    else:
                        attempts.answered()
        for part in attempts.fatal:
            for key in part.keys:
                self._came(key, _fatal(part))
        attempts.close()

    def _part(self, engine: TextGenerator, keys: Sequence[str]) -> None:
        with _working.lap() as lap:
            told_s = 0.0
            for position, answer in engine.generate([self.requests[key] for key in keys]):
                share_s = lap.seconds()
                self._came(keys[position], replace(answer, seconds=share_s - told_s))
                told_s = share_s

    def _came(self, key: str, answer: Answer) -> None:
        self.answers[key] = answer
        if answer.finish_reason != "failed" and self.asking.keeps:
            store_at(self.asking.store).keep(key, answer)
            if not answer.tokens_told:
                tell_no_usage()
        self.on_answer()


def _fatal(part: Part) -> Answer:
    return Answer(f"asked alone {part.bad_ends} times: {part.why}", "fatal", 0, 0)
