"""What every source of caption seeds has; those that come with unicorn-hf are in `unicorn_hf.seeds.sources`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.section import Kind

PACKAGE_PREFIX = "package:"


class SeedSource(Kind):
    """One item of `seeds.sources`. A subclass adds `kind`, keys of its own, and `read`."""

    is_remote: ClassVar[bool] = False
    """Whether reading takes the network. The first seeds of others are read before a build does anything else."""

    name: str | None = None
    """What the card calls the source; the file's or data set's name unless given."""
    domain: str = "open-domain"
    license: str = "unknown"
    limit: PositiveInt | None = None
    """Seeds, or labels of a data set, that are read at most."""
    weight: Annotated[float, Field(gt=0)] | None = None
    """Its part of all seeds, relative to the other sources that have a weight; without it, all of its seeds are in."""
    benchmark: str | None = None
    """The evaluation benchmark that the labels belong to; `seeds.exclude_benchmarks` leaves such sources out."""

    @property
    def place(self) -> str:
        """Where the seeds are, as messages say it: the file or data set, or the source's kind where there is none."""
        named = [getattr(self, key) for key in (*self.file_keys, *self.hub_keys)]
        return str(named[0] if named else self.kind)

    @property
    def title(self) -> str:
        """What the card calls the source."""
        return self.name or Path(self.place).name

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        """The seeds as they stand, always in the same order; `limit` of them at most.

        Args:
            random_seed: the recipe's, for sources that draw.
            notes: is told how files are read, and what is left out of them.

        Raises:
            InputError: there is nothing that can be read.
            RunError: the network.
        """
        raise NotImplementedError

    def content(self) -> str:
        """What identifies the seeds that `read` gives; where it changes, seeds are read again.

        Raises:
            InputError: there is nothing that can be read.
        """
        return fingerprint(self)


def package_file(path: str, folder: Path) -> Path:
    """The file that a recipe's path means: shipped data for `package:NAME`, else relative to the recipe's folder."""
    if path.startswith(PACKAGE_PREFIX):
        return Path(__file__).parent.parent / "seeds" / "data" / path.removeprefix(PACKAGE_PREFIX)
    return folder / Path(path).expanduser()


def is_shipped(path: str) -> bool:
    """Whether a recipe's path is that of a file that comes with unicorn-hf, and can be no other's."""
    return path.startswith(PACKAGE_PREFIX) and "/" not in path and "\\" not in path
