"""Limits that stop a running build: too many rejections, or an exhausted budget."""

import time

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.recipe import Price
from unicorn_hf.runtime.cluster import EnoughError
from unicorn_hf.runtime.generation import Counts, GenerationRecord, most_common
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.steps import Record

_FEWEST_CANDIDATES = 20
"""The limit applies from this many candidates on."""
_HOUR_S = 3600


class RejectionLimit:
    """Adds up records as they arrive, shows the sum, and raises when too many candidates are rejected."""

    def __init__(self, stage: str, max_rejected: float, so_far: Counts, progress: Progress) -> None:
        self._stage = stage
        self._max_rejected = max_rejected
        self._counts = so_far
        self._progress = progress

    def add(self, record: GenerationRecord) -> None:
        """Count a record.

        Raises:
            RunError: the share of rejected candidates is above the limit.
        """
        self._counts = self._counts.plus(record.counts)
        counts = self._counts
        self._progress.known(counts.num_kept, counts.num_rejected)
        share = counts.num_rejected / max(counts.num_candidates, 1)
        if counts.num_candidates >= _FEWEST_CANDIDATES and share > self._max_rejected:
            raise RunError(
                f"{self._stage}: {counts.num_rejected:,} of {counts.num_candidates:,} candidates are rejected"
                f" ({most_common(counts.rejected)}), above the recipe's limit of {self._max_rejected:.0%}",
                f"Read the rejections and their raw text in the work folder. Change the prompt, sampling or filters, or"
                f" raise {self._stage}.max_rejected; stored answers are reused.",
            )


class Budget:
    """Adds up the cost of records as they arrive, and stops the build when it exceeds its cost or time.

    Args:
        price: the recipe's.
        max_cost: limit for the build in the price's currency, including the cost of reused work of earlier runs.
        max_hours: limit for this run.
    """

    def __init__(self, price: Price, max_cost: float | None, max_hours: float | None) -> None:
        self._price = price
        self._max_cost = max_cost
        self._max_hours = max_hours
        self._cost = 0.0
        self._started = time.monotonic()

    def add(self, record: Record) -> None:
        """Count a record.

        Raises:
            EnoughError: the budget is exhausted.
        """
        self._cost += self._cost_of(record)
        hours = (time.monotonic() - self._started) / _HOUR_S
        if self._max_cost is not None and self._cost > self._max_cost:
            raise EnoughError(
                f"the build has cost {self._cost:,.2f} {self._price.currency}; the limit is {self._max_cost:,.2f}",
                "All finished work is kept. To resume, run the same command with a higher --max-cost.",
            )
        if self._max_hours is not None and hours > self._max_hours:
            raise EnoughError(
                f"the build has run for {hours:,.2f} hours; the limit is {self._max_hours:,.2f}",
                "All finished work is kept. To resume, run the same command again.",
            )

    def start_over(self) -> None:
        """Reset the cost before all records are counted again; the time continues."""
        self._cost = 0.0

    def _cost_of(self, record: Record) -> float:
        if not isinstance(record, GenerationRecord):
            return self._price.cost(worker_hours=record.seconds / _HOUR_S)
        return self._price.cost(
            prompt_tokens=record.counts.num_prompt_tokens,
            output_tokens=record.counts.num_output_tokens,
            worker_hours=record.usage.seconds / _HOUR_S,
        )
