"""Which rows of which shard belong to the set: stages hand this on, not the rows."""

from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.core.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class SeedShards:
    """Seeds on disk: shards of the recipe's `partition_rows` rows, the last one shorter."""

    paths: tuple[Path, ...]
    identities: tuple[str, ...]
    """A fingerprint of each shard's seeds."""
    num_seeds: int


NO_SEEDS = SeedShards((), (), 0)


@dataclass(frozen=True, slots=True)
class Picked:
    """Some rows of one partition's shard."""

    partition: str
    path: Path
    content: str
    """What tells the shard's rows from others: its seal, or a fingerprint of the one thing that it can be made from."""
    rows: tuple[int, ...]

    @property
    def identity(self) -> str:
        return fingerprint(self.path.parent.name, self.partition, self.content, self.rows)
