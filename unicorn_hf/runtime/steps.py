"""Steps on disk: a folder named by its configuration, with a record for each finished partition."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.files import DamagedShardError, check_seal, write_bytes
from unicorn_hf.runtime.seal import UNSEALED, sealed
from unicorn_hf.runtime.work import Work

_LAST_FIELD = ',\n "seal"'
_LAST_LINE = f'{_LAST_FIELD}: "{UNSEALED}"\n}}'

log = logging.getLogger(__name__)


class Record(BaseModel, frozen=True, extra="forbid"):
    """Facts about a finished partition. Stages add fields."""

    inputs: str
    """Fingerprint of the partition's inputs; a record with other inputs is ignored."""
    num_bytes: dict[str, int]
    """Size of each of the partition's shards by kind; a shard of another size is damaged."""
    seconds: float = 0.0
    """Worker time."""

    @property
    def is_final(self) -> bool:
        """Whether later runs may reuse the partition."""
        return True


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Step:
    """A folder of partitions: `NAME-FINGERPRINT`, so that another configuration never finds it.

    The names of a partition's files begin with the partition's name and a dot.
    """

    folder: Path

    @classmethod
    def of(cls, work_dir: Path, name: str, *identity: object) -> "Step":
        return cls(work_dir / f"{name}-{fingerprint(*identity)}")

    def shard(self, partition: str, kind: str) -> Path:
        """The path of a shard: a Parquet file, unless the kind has another suffix."""
        return self.folder / (f"{partition}.{kind}" if "." in kind else f"{partition}.{kind}.parquet")

    def attempts(self, partition: str) -> Path:
        """The file that records failed requests of the partition; see `Attempts`."""
        return self.folder / "attempts" / partition

    def find(self, partition: str, inputs: str, record_type: type[RecordT]) -> RecordT | None:
        """The partition's record, if it is final, has these inputs, and its shards have their recorded sizes.

        Otherwise the partition will be rebuilt, and an old record is deleted now: it must not exist beside shards that
        are newer.
        """
        path = self._record_path(partition)
        try:
            record = read_record(path, record_type)
        except FileNotFoundError:
            return None
        except DamagedShardError as error:
            log.warning("%s: the partition will be rebuilt", error.message)
        else:
            if record.inputs == inputs and record.is_final and self._holds(partition, record.num_bytes):
                return record
        path.unlink(missing_ok=True)
        return None

    def _holds(self, partition: str, num_bytes: dict[str, int]) -> bool:
        """Whether the partition's shards have these sizes."""
        for kind, size in num_bytes.items():
            shard = self.shard(partition, kind)
            try:
                is_whole = shard.stat().st_size == size
            except FileNotFoundError:
                is_whole = False
            if not is_whole:
                log.warning("%s has changed since it was written: it will be rebuilt", shard)
                return False
        return True

    def finish(self, partition: str, record: RecordT) -> RecordT:
        """Write the record, as the last file: from now on the partition counts as done."""
        content = record.model_dump_json(indent=1).removesuffix("\n}") + _LAST_LINE
        write_bytes(self._record_path(partition), sealed(content.encode()))
        return record

    @classmethod
    def record_of(cls, shard: Path) -> Path:
        """The record of the partition that `shard` belongs to. If it is deleted, a build makes the partition again."""
        partition, _, _ = shard.name.partition(".")
        return cls(shard.parent)._record_path(partition)

    def sizes(self, partition: str, *kinds: str) -> dict[str, int]:
        return {kind: self.shard(partition, kind).stat().st_size for kind in kinds}

    def _record_path(self, partition: str) -> Path:
        return self.folder / f"{partition}.json"


def read_record(path: Path, record_type: type[RecordT]) -> RecordT:
    """
    Raises:
        FileNotFoundError: there is no record.
        DamagedShardError: the record is altered, or of another version.
    """
    content = storage.read(path)
    check_seal(path, content)
    text = content.decode()
    try:
        return record_type.model_validate_json(text[: text.rindex(_LAST_FIELD)] + "}")
    except ValidationError as error:
        raise DamagedShardError(path, "is of another version") from error


@dataclass(frozen=True, kw_only=True)
class PartitionJob(Generic[RecordT]):
    """Makes one partition of a step in a worker process. A job is picklable and small: paths, not rows."""

    record_type: ClassVar[type[Any]] = Record
    overlap: ClassVar[bool] = False
    """Whether a worker has as many of these jobs in flight as the pool allows: they mostly wait for a shared engine."""
    step: Step
    partition: str
    inputs: str
    """See `Record.inputs`."""
    label: str
    """Name for messages: the partition, and the file that it is made from."""

    def shard(self, kind: str) -> Path:
        return self.step.shard(self.partition, kind)

    def run(self, work: Work) -> RecordT:
        """Write the shards, report each finished row to `work`, and end with `finish`."""
        raise NotImplementedError

    def find(self) -> RecordT | None:
        """The record, if the same work was done before."""
        found: RecordT | None = self.step.find(self.partition, self.inputs, self.record_type)
        return found

    def finish(self, work: Work, *kinds: str, **facts: object) -> RecordT:
        """Write the record, with the sizes of the shards of these kinds."""
        record: RecordT = self.record_type(
            inputs=self.inputs,
            num_bytes=self.step.sizes(self.partition, *kinds),
            seconds=round(work.seconds(), 3),
            **facts,
        )
        return self.step.finish(self.partition, record)
