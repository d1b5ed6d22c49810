"""The tasks of conversations: a file for each, with its defaults; `base` says what a task is."""

from functools import cache

# In the paper's order, which decides what a caption is asked for. A module that is not named here is found too, after.
# isort: off
from unicorn_hf.instructions.tasks.multiple_choice import MultipleChoice
from unicorn_hf.instructions.tasks.question_answering import QuestionAnswering
from unicorn_hf.instructions.tasks.complex_reasoning import ComplexReasoning
from unicorn_hf.instructions.tasks.base import QuestionFamily, TaskFamily
# isort: on

from unicorn_hf.core.choices import TASKS

__all__ = ["ComplexReasoning", "MultipleChoice", "QuestionAnswering", "QuestionFamily", "TaskFamily", "has_options"]


@cache
def has_options(name: str | None) -> bool:
    """Whether questions of a task have options; False of a task that is not installed."""
    task = TASKS.loadable().get(name or "")
    return task is not None and task.has_options
