"""What may stand in the way of a build on a machine, as engines and encoders tell it: see `unicorn-hf doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field


class Finding(BaseModel):
    """Something that is not as it should be."""

    severity: Literal["error", "warning"]
    """With an error the recipe cannot be built here."""
    message: str
    fix: str
    """A command, or what else to do."""
    module: str = Field(default="", exclude=True)
    """A module that is missing, where the finding says why: then it is not told as not installed besides."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that a build is to run on."""

    gpus: tuple[int | None, ...]
    """Bytes of memory of each GPU; None of one that does not say."""
    packages: Mapping[str, str | None]
    """Versions by the name of the distribution; None where it is not installed."""
    absent: tuple[str, ...]
    """Modules that the recipe needs and that are not installed."""
    runs_workers: bool
    """Whether the workers run here, and not on a cluster."""
    install: str
    """The command that installs what this machine can run."""
