"""Raw answers, kept apart from what is parsed out of them: what was answered once is never asked again."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from unicorn_hf.core.errors import EngineDiedError
from unicorn_hf.core.generation import Answer, FinishReason, Request, TextGenerator
from unicorn_hf.core.schemas import ANSWERS
from unicorn_hf.runtime.attempts import WORKER_DIED, Attempts, Part
from unicorn_hf.runtime.files import DamagedShardError, read_table, rows_table, write_table
from unicorn_hf.runtime.running import build_name, tell_bad_end, tell_no_usage
from unicorn_hf.runtime.stopwatch import Stopwatch
from unicorn_hf.runtime.workers import discard, using, waiting

log = logging.getLogger(__name__)

_working = Stopwatch()
"""Of this process's engine: the partitions that it serves at once share its time."""


class AnswerStore:
    """The answers of one partition, in one shard, found by the request's key.

    The key covers all that the answer depends on but the engine: give each engine configuration a folder of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = {str(row["key"]): row for row in _stored(path)}

    def answer(
        self, requests: Sequence[Request], generator: Callable[[], TextGenerator], on_answer: Callable[[], None]
    ) -> list[Answer]:
        """Answers in the order of `requests`. Only what is not stored is asked; else `generator` is not called.

        Answers that came are stored even where the engine fails before the last of them. Failed ones are not stored. An
        engine that dies is closed, and `generator` called for another.

        Raises:
            RunError: the engine failed, or each one that is opened dies.
        """
        keys = [request.key for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._rows}
        for _ in range(len(requests) - len(missing)):
            on_answer()
        failed = self._ask(missing, generator, on_answer) if missing else {}
        return [failed.get(key) or _answer(self._rows[key]) for key in keys]

    def _ask(
        self, missing: dict[str, Request], generator: Callable[[], TextGenerator], on_answer: Callable[[], None]
    ) -> dict[str, Answer]:
        """Ask and store; the failed answers are returned."""
        attempts = Attempts(self._path.with_suffix(".attempts.json"), build_name(), list(missing))
        if attempts.num_interrupted:
            tell_bad_end(attempts.num_interrupted, WORKER_DIED)
        failed: dict[str, Answer] = {}
        with waiting():
            for part in attempts:
                with using(generator, alone=part.alone) as engine:
                    attempts.begin(part)
                    try:
                        self._ask_part(engine, [(key, missing[key]) for key in part.keys], failed, on_answer)
                    except EngineDiedError as error:
                        tell_bad_end(len(part.keys), error.message)
                        discard(engine)
                        without = missing.keys() - self._rows.keys() - failed.keys()
                        attempts.ended_badly(part.only(without), error.message)
                    else:
                        attempts.answered()
        self._keep({key: (missing[key], _fatal(part)) for part in attempts.fatal for key in part.keys}, 0.0)
        for _ in attempts.fatal:
            on_answer()
        attempts.close()
        return failed

    def _ask_part(
        self,
        engine: TextGenerator,
        asked: Sequence[tuple[str, Request]],
        failed: dict[str, Answer],
        on_answer: Callable[[], None],
    ) -> None:
        came: dict[str, tuple[Request, Answer]] = {}
        with _working.lap() as lap:
            try:
                for position, answer in engine.generate([request for _, request in asked]):
                    key, request = asked[position]
                    if answer.finish_reason == "failed":
                        failed[key] = answer
                    else:
                        came[key] = request, answer
                        if not answer.tokens_told:
                            tell_no_usage()
                    on_answer()
            finally:
                self._keep({key: came[key] for key, _ in asked if key in came}, lap.seconds())

    def _keep(self, came: Mapping[str, tuple[Request, Answer]], seconds: float) -> None:
        if not came:
            return
        for key, (request, answer) in came.items():
            self._rows[key] = _row(key, request, replace(answer, seconds=seconds / len(came)))
        write_table(self._path, rows_table(list(self._rows.values()), ANSWERS), ANSWERS)


def _fatal(part: Part) -> Answer:
    return Answer(f"asked alone {part.bad_ends} times: {part.why}", "fatal", 0, 0)


def _stored(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    try:
        rows: list[dict[str, object]] = read_table(path, ANSWERS).to_pylist()
    except DamagedShardError as error:
        log.warning("%s: its rows are asked again", error.message)
        return []
    return rows


def _row(key: str, request: Request, answer: Answer) -> dict[str, object]:
    return {
        "id": request.id,
        "key": key,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "num_prompt_tokens": answer.num_prompt_tokens,
        "num_output_tokens": answer.num_output_tokens,
        "num_retries": answer.num_retries,
        "seconds": answer.seconds,
        "tokens_told": answer.tokens_told,
    }


def _answer(row: dict[str, object]) -> Answer:
    return Answer(
        text=cast(str, row["text"]),
        finish_reason=cast(FinishReason, row["finish_reason"]),
        num_prompt_tokens=cast(int, row["num_prompt_tokens"]),
        num_output_tokens=cast(int, row["num_output_tokens"]),
        num_retries=cast(int, row["num_retries"]),
        seconds=cast(float, row["seconds"]),
        tokens_told=row["tokens_told"] is not False,
    )
