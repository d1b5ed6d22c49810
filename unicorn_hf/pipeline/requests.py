"""Requests as a file for a machine without a network, and its answers taken into the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Request
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.engines.batch import BatchEngine
from unicorn_hf.engines.endpoint import EndpointEngine
from unicorn_hf.engines.generators.batch_lines import line_of, models_in, read_answers
from unicorn_hf.instructions.step import InstructionStage
from unicorn_hf.pipeline.collecting import PoolHere, jobs_that_wait
from unicorn_hf.pipeline.planning import Plan
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.batches import BatchFolder
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.locks import exclusive, make_private
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.steps import PartitionJob, RecordT
from unicorn_hf.seeds.step import prepare_seeds

_BYTES_AT_ONCE = 64 << 20


class _ExportedError(Exception):
    """The requests of a wave are written: the next ones depend on their answers."""


class Collected(BaseModel):
    """What was found in files of answers."""

    stored: int = 0
    """Answers that are new in the store, refusals included."""
    known: int = 0
    """Answers that were stored before."""
    unanswered: int = 0
    """Requests that failed; the next export has them again."""
    foreign: int = 0
    """Lines that answer no request of unicorn-hf."""


def export_requests(planned: Plan, path: Path, progress: Progress | None = None) -> int:
    """Write the requests that a build would send next, and that have no stored answer, as JSONL.

    Requests whose text depends on these answers are part of a later export. The format is that of OpenAI's batches and
    of vLLM's `run-batch`.

    Returns:
        Number of requests; 0 if the build needs none. The file is then not written.

    Raises:
        InputError: the recipe's engine has no model with a name, or batches are in flight.
        RunError: the seeds do not suffice.
    """
    recipe, work_dir, progress = planned.recipe, planned.work_dir, progress or Progress()
    engine, generator = _served(recipe)
    store, temporary = planned.store(generator), path.with_name(f".{path.name}.tmp")
    with exclusive(work_dir), disk_errors():
        if any(entry.is_queued for entry in BatchFolder(work_dir, generator.identity).entries()):
            raise InputError(
                f"batches of this recipe are in flight, according to {work_dir}",
                "Collect their answers first: unicorn-hf build.",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file, suppress(_ExportedError):
                pool = _ExportPool(file, engine)
                seeds, _ = prepare_seeds(recipe, work_dir)
                captions = CaptionStage(recipe, seeds, generator, work_dir, store).run(pool, progress)
                InstructionStage(recipe, captions.picked, generator, work_dir, store).run(pool, progress)
            if pool.keys:
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return len(pool.keys)


def collect_answers(planned: Plan, paths: Sequence[Path]) -> Collected:
    """Take the answers to exported requests into the store.

    Args:
        paths: output and error files of OpenAI's batches or of vLLM's `run-batch`.

    Raises:
        InputError: a file is missing or has no such line, or another model wrote the answers.
        RunError: no request of a form was answered; the message is the server's.
    """
    engine, generator = _served(planned.recipe)
    make_private(planned.answers)
    store, total = AnswerStore(planned.store(generator)), Collected()
    forms: set[str] = set()
    with disk_errors():
        for path in paths:
            num_lines = 0
            for content in _parts(path):
                if other := next((model for model in models_in(content) if not model.startswith(engine.model)), None):
                    raise InputError(
                        f"{path}: the model {other} answered, but the recipe names {engine.model}",
                        "Name it with --llm, here and in every build that uses these answers.",
                    )
                found = read_answers({"output": content}, None, engine, forms)
                if found.at_fault:
                    raise RunError(f"{path}: {found.at_fault[0]}", found.at_fault[1])
                forms |= found.forms
                num_lines += found.num_output
                num_new = store.add(found.answers)
                total.stored += num_new
                total.known += len(found.answers) - num_new
                total.unanswered += len(found.unanswered)
                total.foreign += found.num_foreign
            if not num_lines:
                raise InputError(
                    f"{path} has no answers: no line is a JSON object with a custom_id",
                    "Give the file that the batch runner wrote.",
                )
    return total


def _parts(path: Path) -> Iterator[bytes]:
    """The content of a file, some lines at a time."""
    try:
        with path.open("rb") as file:
            while lines := file.readlines(_BYTES_AT_ONCE):
                yield b"".join(lines)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None


def _served(recipe: Recipe) -> tuple[BatchEngine, GeneratorSpec]:
    """The recipe's model, as an engine whose requests can be written to a file, and resolved.

    Raises:
        InputError: the recipe has none.
    """
    engine = recipe.engine
    if isinstance(engine, EndpointEngine):
        shared = engine.model_dump(include={"model", "license", "json_schema", "system_role", "extra_body"})
        engine = BatchEngine(kind="batch", **shared)
    if recipe.takes_text or not isinstance(engine, BatchEngine):
        kind = "imported text" if recipe.takes_text else f"the engine {engine.kind}"
        raise InputError(f"requests are written for models by their name, and not for {kind}", "Use --engine batch.")
    return engine, resolve_generator(engine)


class _ExportPool(PoolHere):
    """Runs jobs up to the first wave with requests, which it writes."""

    def __init__(self, file: IO[bytes], engine: BatchEngine) -> None:
        super().__init__()
        self.keys = set[str]()
        self._file, self._engine = file, engine

    def run(
        self, jobs: Sequence[PartitionJob[RecordT]], on_record: Callable[[RecordT], None], *, on_gpu: bool = False
    ) -> list[RecordT]:
        for _ in jobs_that_wait(jobs, self._write):
            pass
        if self.keys:
            raise _ExportedError
        return super().run(jobs, on_record)

    def _write(self, requests: Mapping[str, Request]) -> bool:
        for key, request in requests.items():
            if key not in self.keys:
                self.keys.add(key)
                self._file.write(line_of(request, self._engine))
        return True
