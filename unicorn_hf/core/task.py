"""The recipe section that all conversation tasks share."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.gathered import Filters
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.registry import NameOf
from unicorn_hf.core.section import Section

Weight = Annotated[float, Field(ge=0)]
FormatName = Literal["json", "tagged"]
PromptChoice = str | Prompt
"""A bundled prompt's name, the path of a file, or the prompt itself."""


class PairRange(Section):
    """The number of question-answer pairs of a conversation."""

    min: PositiveInt
    max: PositiveInt

    @model_validator(mode="after")
    def _ordered(self) -> "PairRange":
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) exceeds max ({self.max})")
        return self


class InstructionFilters(Filters):
    """Bounds of the filters of questions and answers. Each task has its own filters; all bounds can be set for each.

    The key `"package:name": {}` adds a filter of another package, with its bounds.
    """

    registry = CONVERSATION_FILTERS
    without: Annotated[tuple[Annotated[str, NameOf(CONVERSATION_FILTERS)], ...], Field(strict=False)] = ()
    """Filters to switch off, by their rejection reason."""
    keep_rest: bool = True
    """Drop a failed pair and keep the conversation, if enough pairs remain; if false, reject the conversation."""


class Task(Section):
    """One family of conversations."""

    weight: Weight
    """Its share of all conversations, relative to the other tasks' weights."""
    pairs: PairRange
    """The number of pairs to request; fewer than `min` that pass reject the conversation."""
    prompt: PromptChoice
    """A bundled prompt, or the path of a prompt file."""
    format: FormatName = "json"
    """How the model writes pairs: `json`, guided by a grammar if the engine has one, or `tagged` lines of text.

    A grammar costs throughput at high concurrency; without one a weak model fails more often.
    """
    filters: InstructionFilters = Field(default_factory=InstructionFilters)
