"""`run.json`: time and machines of a build. The statistics are separate: they are equal in every build of a set."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from unicorn_hf.cards.statistics import Statistics, read_figures
from unicorn_hf.core.recipe import Price
from unicorn_hf.runtime.generation import Counts, Usage

HOUR_S = 3600


class StageTime(BaseModel):
    """The worker time of a stage, summed over workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    """For generation, the time in which an engine worked on answers; for the other stages, the time of their jobs."""
    num_retries: int = 0

    @classmethod
    def of(cls, usage: Usage) -> "StageTime":
        """Return the time and retries of a generation stage."""
        return cls(seconds=round(usage.seconds, 3), num_retries=usage.num_retries)


class RunFacts(BaseModel):
    """Time and machines of all runs of a build, as far as their results were kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machines: tuple[str, ...]
    captions: StageTime
    instructions: StageTime
    representations: StageTime
    packaging: StageTime

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in (self.captions, self.instructions, self.representations, self.packaging))


def read_run(path: Path) -> RunFacts | None:
    """Read a set's `run.json`; None if there is none.

    Raises:
        InputError: the file is invalid.
    """
    return read_figures(path, RunFacts) if path.is_file() else None


def rate(facts: Counts, time: StageTime) -> float | None:
    """Output tokens per second and worker; None if the time is too short to tell."""
    return facts.num_output_tokens / time.seconds if time.seconds >= 1 else None


def costs(price: Price, statistics: Statistics, run: RunFacts) -> dict[str, float]:
    """The non-zero costs by the recipe's prices, by what they are for."""
    stages = (statistics.captions, statistics.instructions)
    prompt, output = (
        sum(getattr(stage, name) for stage in stages) for name in ("num_prompt_tokens", "num_output_tokens")
    )
    about = "about " if any(stage.num_estimated for stage in stages) else ""
    found = {
        f"{about}{prompt:,} prompt tokens": price.cost(prompt_tokens=prompt),
        f"{about}{output:,} output tokens": price.cost(output_tokens=output),
        f"{run.seconds / HOUR_S:,.2f} worker hours": price.cost(worker_hours=run.seconds / HOUR_S),
    }
    return {what: amount for what, amount in found.items() if amount}
