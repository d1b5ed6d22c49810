"""Conversation tasks, each in its own file with its defaults; `base` has the interface."""

from functools import cache

# The paper's order, which decides the task of a caption. The registry finds other modules too, after these.
# isort: off
from unicorn_hf.instructions.tasks import multiple_choice, question_answering, complex_reasoning  # noqa: F401
from unicorn_hf.instructions.tasks.base import QuestionFamily, TaskFamily
# isort: on

from unicorn_hf.core.choices import TASKS

__all__ = ["QuestionFamily", "TaskFamily", "has_options"]


@cache
def has_options(name: str | None) -> bool:
    """Whether questions of a task have options; False if the task is not installed."""
    task = TASKS.loadable().get(name or "")
    return task is not None and task.has_options
