"""What all parts of recipes and prompts have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Strings = Annotated[tuple[str, ...], Field(strict=False)]
"""YAML's lists become tuples."""


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, no type stands for another, nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
