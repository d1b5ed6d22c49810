"""Figures of a set's seeds."""

from unicorn_hf.core.figures import Figures


class SourceFacts(Figures):
    """Seeds of one source."""

    name: str
    domain: str
    license: str
    num_seeds: int
    benchmark: str | None = None
    """The evaluation benchmark that its labels belong to."""


class SeedFacts(Figures):
    """Seeds of all sources."""

    num_seeds: int
    sources: tuple[SourceFacts, ...]
    skipped: dict[str, int]
    """Number of skipped seeds, by reason."""
