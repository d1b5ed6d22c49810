"""What the seeds of a set came from."""

from unicorn_hf.core.figures import Figures


class SourceFacts(Figures):
    """What one source gave."""

    name: str
    domain: str
    license: str
    num_seeds: int
    benchmark: str | None = None
    """The evaluation benchmark that its labels belong to."""


class SeedFacts(Figures):
    """What all sources gave."""

    num_seeds: int
    sources: tuple[SourceFacts, ...]
    skipped: dict[str, int]
    """Seeds left out, by reason."""
