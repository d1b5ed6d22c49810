"""Which rows of which shard belong to the set: stages pass on references, not rows."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unicorn_hf.core.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class SeedShards:
    """Seeds on disk: shards of `partition_rows` rows (a recipe key); the last one may be shorter."""

    paths: tuple[Path, ...]
    identities: tuple[str, ...]
    """A fingerprint of each shard's seeds."""
    num_seeds: int


NO_SEEDS = SeedShards((), (), 0)


@dataclass(frozen=True)
class Picked:
    """Some rows of one partition's shard."""

    partition: str
    path: Path
    content: str
    """Identifies the shard's rows: its seal, or a fingerprint of its only possible input."""
    rows: tuple[int, ...]

    @cached_property
    def identity(self) -> str:
        return fingerprint(self.path.parent.name, self.partition, self.content, self.rows)
