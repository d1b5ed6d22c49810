"""The interface of seed sources; the bundled ones are in `unicorn_hf.seeds.sources`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.section import Kind

PACKAGE_PREFIX = "package:"


class SeedSource(Kind):
    """One item of `seeds.sources`. A subclass adds `kind`, its keys, and `read`."""

    is_remote: ClassVar[bool] = False
    """Whether it reads from the network. The first seeds of local sources are checked before a build starts."""

    name: str | None = None
    """The source's name in the card; by default the file's or data set's name."""
    domain: str = "open-domain"
    """The column `domain` of the rows from this source."""
    license: str = "unknown"
    """The licence id of the seeds, for the card."""
    limit: PositiveInt | None = None
    """Maximum number of seeds, or of a data set's labels, to read."""
    weight: Annotated[float, Field(gt=0)] | None = None
    """Its share of all seeds, relative to the other sources with a weight; without it, all its seeds are used."""
    benchmark: str | None = None
    """The evaluation benchmark that the labels belong to; `seeds.exclude_benchmarks` excludes such sources."""

    @property
    def place(self) -> str:
        """The location of the seeds for messages: the file or data set, else the source's kind."""
        named = [getattr(self, key) for key in (*self.file_keys, *self.hub_keys)]
        return str(named[0] if named else self.kind)

    @property
    def title(self) -> str:
        """The source's name in the card."""
        return self.name or Path(self.place).name

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        """Read the unchanged seeds, always in the same order, at most `limit`.

        Args:
            random_seed: the recipe's, for sources that draw.
            notes: collects how files are read, and what is skipped.

        Raises:
            InputError: there is nothing to read.
            RunError: the network failed.
        """
        raise NotImplementedError

    def content(self) -> str:
        """Identity of the seeds that `read` yields; if it changes, seeds are read again.

        Raises:
            InputError: there is nothing to read.
        """
        return fingerprint(self)


def package_file(path: str) -> Path:
    """The file of a recipe's path, which is bundled data for `package:NAME`."""
    if path.startswith(PACKAGE_PREFIX):
        return Path(__file__).parent.parent / "seeds" / "data" / path.removeprefix(PACKAGE_PREFIX)
    return Path(path).expanduser()


def is_shipped(path: str) -> bool:
    """Whether a recipe's path can only be a file bundled with unicorn-hf."""
    return path.startswith(PACKAGE_PREFIX) and "/" not in path and "\\" not in path
