"""Limits that stop a running build: too many rejections, or an exhausted budget."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.recipe import Price
from unicorn_hf.runtime.cluster import EnoughError
from unicorn_hf.runtime.generation import Counts, GenerationRecord, most_common
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.rejections import explained
from unicorn_hf.runtime.steps import Record

_FEWEST_CANDIDATES = 20
"""The limit applies from this many candidates on."""
_HOUR_S = 3600


@dataclass
class RejectionLimit:
    """Adds up records as they arrive, shows the sum, and raises when too many candidates are rejected."""

    stage: str
    step: Path
    """The folder of the stage's step, with the rejections."""
    max_rejected: float
    counts: Counts
    """The sum so far."""
    progress: Progress

    def add(self, record: GenerationRecord) -> None:
        """Count a record.

        Raises:
            RunError: the share of rejected candidates is above the limit.
        """
        counts = self.counts = self.counts.plus(record.counts)
        self.progress.known(counts.num_kept, counts.num_rejected)
        share = counts.num_rejected / max(counts.num_candidates, 1)
        if counts.num_candidates >= _FEWEST_CANDIDATES and share > self.max_rejected:
            raise RunError(
                f"{self.stage}: {counts.num_rejected:,} of {counts.num_candidates:,} candidates are rejected"
                f" ({most_common(counts.rejected)}), above the recipe's limit of {self.max_rejected:.0%}",
                f"{explained(self.stage, self.step, counts.rejected)}Change the prompt, sampling or filters, or raise"
                f" {self.stage}.max_rejected; stored answers are reused.",
            )


@dataclass
class Budget:
    """Adds up the cost of records as they arrive, and stops the build when it exceeds its cost or time."""

    price: Price
    max_cost: float | None
    """Limit for the build in the price's currency, including the cost of reused work of earlier runs."""
    max_hours: float | None
    """Limit for this run."""
    cost: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def add(self, record: Record) -> None:
        """Count a record.

        Raises:
            EnoughError: the budget is exhausted.
        """
        self.cost += self._cost_of(record)
        hours = (time.monotonic() - self.started) / _HOUR_S
        if self.max_cost is not None and self.cost > self.max_cost:
            raise EnoughError(
                f"the build has cost {self.cost:,.2f} {self.price.currency}; the limit is {self.max_cost:,.2f}",
                "All finished work is kept. To resume, run the same command with a higher --max-cost.",
            )
        if self.max_hours is not None and hours > self.max_hours:
            raise EnoughError(
                f"the build has run for {hours:,.2f} hours; the limit is {self.max_hours:,.2f}",
                "All finished work is kept. To resume, run the same command again.",
            )

    def _cost_of(self, record: Record) -> float:
        if not isinstance(record, GenerationRecord):
            return self.price.cost(worker_hours=record.seconds / _HOUR_S)
        return self.price.cost(
            prompt_tokens=record.counts.num_prompt_tokens,
            output_tokens=record.counts.num_output_tokens,
            worker_hours=record.usage.seconds / _HOUR_S,
        )
