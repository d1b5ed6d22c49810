"""What all parts of recipes and prompts have in common."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
"""YAML's lists become tuples."""
REVISION = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
Revision = Annotated[str, Field(pattern=rf"^{REVISION}$", max_length=200, description="a branch, tag or commit")]
"""Of a repository of the Hub. Its library joins it to a path, so that no other text may be one."""


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, no type stands for another, nothing changes after validation."""

    # Which choices there are is asked at the first use, and not when a module is imported: see `core.registry`.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Kind(Section):
    """A section that a registry finds by its key `kind`; it says which of its keys name files and repositories."""

    if TYPE_CHECKING:
        # A subclass has its own: `kind: Literal["file"] = "file"`.
        kind: str

    file_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name a file, relative to the recipe. A published recipe has its name alone, and nothing opens it."""
    hub_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name a repository of the Hub, or a folder, which counts as a file does."""
    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Other keys that may be taken over from a published recipe, beside those that all kinds have.

    A stranger writes such a recipe: see `core.foreign`. No value of them may have anything opened, run, sent or paid.
    """
    left_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that were looked at, and are not taken over. Nor is any key that is in none of these."""
