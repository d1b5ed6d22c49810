"""Raw answers, kept apart from what is parsed out of them: what was answered once is never asked again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from unicorn_hf.core.generation import Answer, FinishReason, Request, TextGenerator
from unicorn_hf.core.schemas import ANSWERS
from unicorn_hf.runtime.files import read_table, rows_table, write_table


class AnswerStore:
    """The answers of one partition, in one shard, found by the request's key.

    The key covers all that the answer depends on but the engine: give each engine configuration a folder of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = {str(row["key"]): row for row in read_table(path, ANSWERS).to_pylist()} if path.exists() else {}

    def answer(
        self, requests: Sequence[Request], generator: Callable[[], TextGenerator], on_answer: Callable[[], None]
    ) -> list[Answer]:
        """Answers in the order of `requests`. Only what is not stored is asked; else `generator` is not called."""
        keys = [request.key for request in requests]
        missing = [(key, request) for key, request in zip(keys, requests, strict=True) if key not in self._rows]
        for _ in range(len(requests) - len(missing)):
            on_answer()
        if missing:
            answers = generator().generate([request for _, request in missing], on_answer)
            for (key, request), answer in zip(missing, answers, strict=True):
                self._rows[key] = _row(key, request, answer)
            write_table(self._path, rows_table(list(self._rows.values()), ANSWERS), ANSWERS)
        return [_answer(self._rows[key]) for key in keys]


def _row(key: str, request: Request, answer: Answer) -> dict[str, object]:
    return {
        "id": request.id,
        "key": key,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "num_prompt_tokens": answer.num_prompt_tokens,
        "num_output_tokens": answer.num_output_tokens,
    }


def _answer(row: dict[str, object]) -> Answer:
    return Answer(
        text=cast(str, row["text"]),
        finish_reason=cast(FinishReason, row["finish_reason"]),
        num_prompt_tokens=cast(int, row["num_prompt_tokens"]),
        num_output_tokens=cast(int, row["num_output_tokens"]),
    )
