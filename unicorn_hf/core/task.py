"""What a recipe says of one task of conversations, whatever the task."""

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
"""The name of a prompt that ships with unicorn-hf, the path of a file, or the prompt itself, as such a file has it."""


class PairRange(Section):
    """How many question-answer pairs a conversation has."""

    min: PositiveInt
    max: PositiveInt

    @model_validator(mode="after")
    def _ordered(self) -> "PairRange":
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class InstructionFilters(Filters):
    """What a question and its answer must be. A task has filters of its own; all bounds may be set for each task.

    A filter of another package is asked for by a key of its name, whose value has its bounds: `"package:name": {}`.
    """

    registry = CONVERSATION_FILTERS
    without: Annotated[tuple[Annotated[str, NameOf(CONVERSATION_FILTERS)], ...], Field(strict=False)] = ()
    """Filters that are left out, by the reason that they reject with."""
    keep_rest: bool = True
    """A pair that fails is left out and the conversation kept, if enough pairs remain; else it fails as a whole."""


class Task(Section):
    """One family of conversations."""

    weight: Weight
    """Its part of all conversations, relative to the other tasks' weights."""
    pairs: PairRange
    prompt: PromptChoice
    """A prompt that ships with unicorn-hf, the path of a file, or the prompt itself."""
    format: FormatName = "json"
    """How the model writes pairs: `json`, guided by a grammar where the engine has one, or `tagged` lines of text.

    A grammar costs throughput at high concurrency; without one a weak model fails more often.
    """
    filters: InstructionFilters = Field(default_factory=InstructionFilters)
