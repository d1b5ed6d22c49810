"""Base classes of all parts of recipes and prompts."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
"""Converts YAML's lists to tuples."""
REVISION = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
Revision = Annotated[str, Field(pattern=rf"^{REVISION}$", max_length=200, description="a branch, tag or commit")]
"""A revision of a Hub repository. Strict, because huggingface_hub joins it to a path."""


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, types are strict, values are immutable."""

    # Registries are read at the first use, not at import: see `core.registry`.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Kind(Section):
    """A section that a registry finds by its key `kind`; it declares which keys name files and repositories."""

    if TYPE_CHECKING:
        # A subclass defines it: `kind: Literal["file"] = "file"`.
        kind: str

    file_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name a file, relative to the recipe. A published recipe keeps only its name, and nothing opens it."""
    hub_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name a Hub repository, or a folder, which is treated as a file."""
    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Further keys to read from a published recipe, which a stranger may have written: see `core.foreign`.

    No value of them may cause anything to be opened, run, sent or paid.
    """
    left_keys: ClassVar[tuple[str, ...]] = ()
    """Keys reviewed and ignored in published recipes. Keys in none of these are ignored too."""
