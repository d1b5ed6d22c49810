"""What all parts of recipes and prompts have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Strings = Annotated[tuple[str, ...], Field(strict=False)]
"""YAML's lists become tuples."""
REVISION = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
Revision = Annotated[str, Field(pattern=rf"^{REVISION}$", max_length=200, description="a branch, tag or commit")]
"""Of a repository of the Hub. Its library joins it to a path, so that no other text may be one."""


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, no type stands for another, nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
