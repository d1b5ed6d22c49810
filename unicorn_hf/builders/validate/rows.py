"""Check each row by itself."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from unicorn_hf.builders.figures import ShardStatistics
from unicorn_hf.builders.rows import found_vectors
from unicorn_hf.builders.sketch import Sketch
from unicorn_hf.builders.validate.report import Findings, quoted
from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.messages import IMAGE, as_messages
from unicorn_hf.core.recipe import UNKNOWN_TASK, Recipe, Tasks
from unicorn_hf.core.visible import control_character
from unicorn_hf.core.words import words
from unicorn_hf.instructions.tasks import TaskFamily, has_options
from unicorn_hf.instructions.turns import LETTERS

_TEXTS = ("id", "caption", "seed", "domain", "task")
_COUNTED = ("caption", "conversations", "domain")
_NORM_TOLERANCE = {np.dtype(np.float16): 1e-3, np.dtype(np.float32): 1e-5}
"""More than twice the rounding error of a norm in this type."""
_CHOICE = re.compile(r".+?" + "".join(rf"\n{letter}\. (.+?)" for letter in LETTERS), re.DOTALL)


@dataclass
class RowChecks:
    """The checks of one config's rows."""

    findings: Findings
    config: str
    recipe: Recipe | None
    """Defines the tasks and the number of pairs, which is not checked without a recipe."""
    unit_norm: bool
    figures: ShardStatistics = field(default_factory=ShardStatistics)
    """Figures of the rows so far, if all had the counted columns."""
    sketch: Sketch = field(default_factory=Sketch)
    """Of the captions so far, like `figures`; empty for `instruction`."""

    def check(self, batch: pa.RecordBatch, file: str, start: int) -> None:
        """Check rows of a shard from row `start` on; columns may be missing."""
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names if name != "image_embedding"}
        for name in _TEXTS:
            for row, value in enumerate(columns.get(name, ()), start):
                if value is None or not (value.strip() or (self._imported and name == "seed")):
                    self._add("empty", file, "null" if value is None else "no text in it", row, name)
                elif char := control_character(value):
                    self._add("control", file, f"it contains {char}", row, name)
        if set(_COUNTED) <= set(columns):
            self.figures = ShardStatistics.merged([self.figures, ShardStatistics.of(batch)])
            if self.config == "pretrain":
                captions = [caption or "" for caption in columns["caption"]]
                self.sketch = Sketch.merged([self.sketch, Sketch.of(captions)])
        for row, value in enumerate(columns.get("task", ()), start):
            if value not in self._tasks and not (self._imported and (value == UNKNOWN_TASK or value in TASKS)):
                self._add("task", file, f"{quoted(value)} is not one of {', '.join(self._tasks)}", row, "task")
        for place, turns in enumerate(columns.get("conversations", ())):
            for kind, message in self._problems(turns, {name: values[place] for name, values in columns.items()}):
                self._add(kind, file, message, start + place, "messages" if kind == "messages" else "conversations")
        if "image_embedding" in batch.schema.names:
            self._check_vectors(batch.column("image_embedding"), file, start)

    def _problems(self, turns: list[dict[str, str]] | None, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Kinds and messages of the problems of a row's conversation."""
        if not turns or any(turn is None or turn["from"] is None or turn["value"] is None for turn in turns):
            yield "empty", "it is or contains a null" if turns != [] else "no turns"
            return
        senders = [turn["from"] for turn in turns]
        if senders != ["human", "gpt"] * (len(senders) // 2):
            yield "roles", f"human and gpt do not alternate: {quoted(' '.join(senders))}"
            return
        for number, turn in enumerate(turns):
            if not turn["value"].replace(IMAGE, "").strip():
                yield "empty", f"turn {number} has no text"
            elif char := control_character(turn["value"]):
                yield "control", f"turn {number} contains {char}"
        num_images = sum(turn["value"].count(IMAGE) for turn in turns)
        if num_images != 1:
            yield "image", f"it contains {IMAGE} {num_images} times, not once"
        elif not turns[0]["value"].startswith(f"{IMAGE}\n"):
            yield "image", f"{IMAGE} is not the first line of the first turn"
        if "messages" in row and row["messages"] != as_messages(turns):
            yield "messages", "differs from the conversation"
        if self.config == "pretrain" and "caption" in row:
            if len(turns) != 2 or turns[1]["value"] != row["caption"]:
                yield "description", "not a single request with the caption as its answer"
        elif "task" in row:
            yield from self._problems_of_task(turns, row["task"])

    def _problems_of_task(self, turns: list[dict[str, str]], task: str) -> Iterator[tuple[str, str]]:
        if self.recipe and not self._imported and task in self._tasks:
            pairs = self._tasks[task].pairs
            if not pairs.min <= len(turns) // 2 <= pairs.max:
                yield "pairs", f"{len(turns) // 2} pairs; the recipe has {pairs.min} to {pairs.max} for {task}"
        if has_options(task):
            for number in range(0, len(turns), 2):
                for message in problems_of_choice(turns[number]["value"], turns[number + 1]["value"]):
                    yield "choices", f"turn {number}: {message}"

    def _check_vectors(self, column: pa.FixedSizeListArray, file: str, start: int) -> None:
        vectors, rows = found_vectors(column)
        for row in np.flatnonzero(np.asarray(column.is_null())):
            self._add("empty", file, "null", start + int(row), "image_embedding")
        wide = vectors.astype(np.float64)
        finite = np.asarray(np.isfinite(wide).all(axis=1))
        for row in rows[~finite]:
            self._add("not_finite", file, "it contains infinity or NaN", start + int(row), "image_embedding")
        zero = ~wide.any(axis=1)
        for row in rows[zero]:
            self._add("zero", file, "it is a zero vector", start + int(row), "image_embedding")
        if self.unit_norm:
            norms = np.linalg.norm(np.where(finite[:, None], wide, 0), axis=1)
            wrong = finite & ~zero & (np.abs(norms - 1) > _NORM_TOLERANCE[vectors.dtype])
            for row, norm in zip(rows[wrong], norms[wrong], strict=True):
                self._add("norm", file, f"its norm is {norm:.6f}, not 1", start + int(row), "image_embedding")

    @cached_property
    def _tasks(self) -> Mapping[str, TaskFamily]:
        """The recipe's tasks, or the default ones without a recipe."""
        return (self.recipe.instructions.tasks if self.recipe else Tasks()).by_name()

    @property
    def _imported(self) -> bool:
        """Whether the rows were imported: seeds and tasks may be unknown, conversations of any length."""
        return self.recipe is not None and self.recipe.imported is not None

    def _add(self, kind: str, file: str, message: str, row: int, field: str) -> None:
        self.findings.add(kind, file, message, row=row, field=field)


def problems_of_choice(question: str, answer: str) -> Iterator[str]:
    """The problems of a multiple-choice question with four options."""
    match = _CHOICE.fullmatch(question)
    options = match.groups() if match else ()
    if not options:
        yield f"no options {LETTERS[0]} to {LETTERS[-1]} in {quoted(question)}"
    elif not all(words(option) for option in options):
        yield "an option without a word"
    elif len({" ".join(words(option)) for option in options}) < len(options):
        yield "two options are equal"
    if answer not in LETTERS:
        yield f"the answer is {quoted(answer)}, not one of {', '.join(LETTERS)}"
