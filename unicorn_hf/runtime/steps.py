"""Steps on disk: a folder named by its configuration, and a record for each partition, written when it is whole."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.runtime.files import write_text
from unicorn_hf.runtime.stopwatch import job_seconds

log = logging.getLogger(__name__)


class Record(BaseModel):
    """What is known of a finished partition. Stages add their own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: str
    """Fingerprint of what the partition was made from; a record of other inputs is no record."""
    num_bytes: dict[str, int]
    """Size of each of the partition's shards by its kind; a shard of another size was damaged since."""
    seconds: float = 0.0
    """What a worker spent on it."""

    @property
    def is_final(self) -> bool:
        """Whether the partition is done for good, or good for the run that made it alone."""
        return True


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Step:
    """A folder of partitions: `NAME-FINGERPRINT`, so that another configuration never finds it."""

    folder: Path

    @classmethod
    def of(cls, work_dir: Path, name: str, *identity: object) -> "Step":
        return cls(work_dir / f"{name}-{fingerprint(*identity)}")

    def shard(self, partition: str, kind: str) -> Path:
        """A Parquet file, unless the kind brings another ending."""
        return self.folder / (f"{partition}.{kind}" if "." in kind else f"{partition}.{kind}.parquet")

    def find(self, partition: str, inputs: str, record_type: type[RecordT]) -> RecordT | None:
        """The partition's record, if it is final, of these inputs, and its shards are there at their recorded sizes.

        Else the partition will be made again, and a record that is there is taken away before: it must not be found
        beside shards that were written after it.
        """
        record = self._find(partition, inputs, record_type)
        if record is None:
            self._record_path(partition).unlink(missing_ok=True)
        return record

    def _find(self, partition: str, inputs: str, record_type: type[RecordT]) -> RecordT | None:
        path = self._record_path(partition)
        try:
            record = record_type.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            log.warning("%s is of another version or damaged: the partition is made again", path)
            return None
        if record.inputs != inputs or not record.is_final:
            return None
        for kind, num_bytes in record.num_bytes.items():
            if _size(self.shard(partition, kind)) != num_bytes:
                log.warning("%s has changed since it was written: it is made again", self.shard(partition, kind))
                return None
        return record

    def finish(self, partition: str, record: RecordT) -> RecordT:
        """Write the record, with the time it took. Last of all: from here on the partition counts as done."""
        record = record.model_copy(update={"seconds": round(job_seconds(), 3)})
        write_text(self._record_path(partition), record.model_dump_json(indent=1))
        return record

    def sizes(self, partition: str, *kinds: str) -> dict[str, int]:
        return {kind: self.shard(partition, kind).stat().st_size for kind in kinds}

    def _record_path(self, partition: str) -> Path:
        return self.folder / f"{partition}.json"


RecordCo = TypeVar("RecordCo", bound=Record, covariant=True)


class Job(Protocol[RecordCo]):
    """One partition's work: picklable, small (paths, not rows), and run in a worker process."""

    @property
    def label(self) -> str:
        """What it works on, for messages: the partition, and the file that it is made from."""
        ...

    def find(self) -> RecordCo | None:
        """The record, if this very work was done before."""
        ...

    def run(self, on_row: Callable[[], None]) -> RecordCo:
        """Do the work; `on_row` is called as each row is done, for the display."""
        ...


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
