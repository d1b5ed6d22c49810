"""Send the requests that have no stored answer to an engine, and store each answer as it arrives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.errors import EngineDiedError
from unicorn_hf.core.generation import Answer, Request, TextGenerator
from unicorn_hf.runtime.answers.store import store_at
from unicorn_hf.runtime.attempts import WORKER_DIED, Attempts
from unicorn_hf.runtime.work import Work


@dataclass
class Asking:
    """Gets the answers of a partition, from the store or the engine."""

    work: Work
    generator: GeneratorSpec
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
        self.work.tell({"event": "answers", "found": len(keys) - len(missing), "asked": len(missing)})
        if missing:
            self.generator.missing(missing)
            try:
                self._send(missing, answers)
            finally:
                store.flush()
        in_order = [answers[key] for key in keys]
        self.answers += in_order
        return in_order

    def _send(self, requests: Mapping[str, Request], answers: dict[str, Answer]) -> None:
        """Send `requests` in parts, and add their answers to `answers`."""
        work, generator = self.work, self.generator
        attempts = Attempts(self.attempts, work.terms.build, list(requests))
        if attempts.num_interrupted:
            work.tell_bad_end(attempts.num_interrupted, WORKER_DIED)
        with work.waiting():
            for part in attempts:
                with work.engine(generator.identity, generator.open, alone=part.alone) as engine:
                    attempts.begin(part)
                    try:
                        self._send_part(engine, {key: requests[key] for key in part.keys}, answers)
                    except EngineDiedError as error:
                        work.tell_bad_end(len(part.keys), error.message)
                        work.slot.discard(engine)
                        attempts.ended_badly(part.only(requests.keys() - answers.keys()), error.message)
                    else:
                        attempts.answered()
        for part in attempts.fatal:
            for key in part.keys:
                answers[key] = Answer(f"sent alone {part.bad_ends} times: {part.why}", "fatal", 0, 0)
                self._keep(key, answers[key])
        attempts.close()

    def _send_part(self, engine: TextGenerator, requests: Mapping[str, Request], answers: dict[str, Answer]) -> None:
        keys = list(requests)
        with self.work.slot.working.lap() as seconds:
            told_s = 0.0
            for position, answer in engine.generate(list(requests.values())):
                share_s, key = seconds(), keys[position]
                answers[key] = replace(answer, seconds=share_s - told_s)
                told_s = share_s
                self._keep(key, answers[key])

    def _keep(self, key: str, answer: Answer) -> None:
        """Store and report an answer that arrived."""
        if answer.finish_reason != "failed" and self.generator.keeps_answers:
            store_at(self.store).keep(key, answer)
            if not answer.tokens_told:
                self.work.tell_no_usage()
        self.work.rows()
