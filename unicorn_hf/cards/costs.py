"""`run.json`: what making the set took. Apart from the statistics, which are the same however often a set is made."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from unicorn_hf.cards.statistics import StageFacts, Statistics
from unicorn_hf.core.recipe import Price

MILLION = 1e6
HOUR_S = 3600


class StageTime(BaseModel):
    """A stage, over all workers: two workers for one second are two seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    """Of generation: the time in which an engine worked on answers. Of the other stages: the time of their jobs."""
    num_retries: int = 0


class RunFacts(BaseModel):
    """What making the set took, all runs of the build together, as far as its work was kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machines: tuple[str, ...]
    captions: StageTime
    instructions: StageTime
    representations: StageTime
    packaging: StageTime

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in (self.captions, self.instructions, self.representations, self.packaging))


@dataclass(frozen=True)
class Cost:
    """One line of the bill."""

    what: str
    amount: float


def rate(facts: StageFacts, time: StageTime) -> float | None:
    """Output tokens a second and worker; None where the time is too short to divide by."""
    return facts.num_output_tokens / time.seconds if time.seconds > 0 else None


def costs(price: Price, statistics: Statistics, run: RunFacts) -> list[Cost]:
    """The bill by the recipe's prices, what costs nothing left out."""
    return [cost for cost in _costs(price, statistics, run) if cost.amount]


def _costs(price: Price, statistics: Statistics, run: RunFacts) -> Iterator[Cost]:
    stages = (statistics.captions, statistics.instructions)
    prompt, output = (
        sum(getattr(stage, name) for stage in stages) for name in ("num_prompt_tokens", "num_output_tokens")
    )
    yield Cost(f"{prompt:,} prompt tokens", prompt / MILLION * price.per_million_prompt_tokens)
    yield Cost(f"{output:,} output tokens", output / MILLION * price.per_million_output_tokens)
    yield Cost(f"{run.seconds / HOUR_S:,.2f} worker hours", run.seconds / HOUR_S * price.per_worker_hour)
