"""Stops a stage that rejects more than its recipe allows, while it runs."""

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime.generation import Counts, GenerationRecord, most_common
from unicorn_hf.runtime.progress import Progress

_FEWEST_CANDIDATES = 20
"""Fewer candidates prove nothing."""


class RejectionLimit:
    """Adds up records as they come, shows the sum, and raises when too much is rejected."""

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
                f"The rejections with their raw text are in the work folder. Mend prompt, sampling or filters, or raise"
                f" {self._stage}.max_rejected; stored answers are used again.",
            )
