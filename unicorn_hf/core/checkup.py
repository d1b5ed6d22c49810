"""Problems of a build on a machine, as engines and encoders report them to `unicorn-hf doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field


class Finding(BaseModel):
    """A problem."""

    severity: Literal["error", "warning"]
    """With an error the recipe cannot be built here."""
    message: str
    fix: str
    """A command, or other advice."""
    module: str = Field(default="", exclude=True)
    """The missing module that the finding explains: it is not reported a second time as not installed."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a build."""

    gpus: tuple[int | None, ...]
    """Memory of each GPU in bytes; None if unknown."""
    packages: Mapping[str, str | None]
    """Versions by distribution; None if it is not installed."""
    absent: tuple[str, ...]
    """Missing modules that the recipe needs."""
    runs_workers: bool
    """Whether the workers run here, and not on a cluster."""
    install: str
    """The command that installs the packages for this machine."""
