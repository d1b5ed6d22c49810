"""The batches of a build: an entry for each in the work folder, which outlives the build and the machine."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.files import write_bytes

FOLDER = "batches"
_ENTRY, _REQUESTS = ".json", ".jsonl"


class BatchEntry(BaseModel, extra="forbid"):
    """A batch.

    It is written before each step that the next run must know of: so a step is repeated only where that costs nothing.
    """

    name: str
    """Fingerprint of its requests and of `attempt`; the server has it too, as metadata and as the file's name."""
    attempt: int
    """How many earlier batches did not answer these requests."""
    state: Literal["written", "uploaded", "creating", "running", "ended", "split"] = "written"
    """`creating`: it may exist on the server. `split`: too large for the quota; its requests go to smaller batches."""
    num_requests: int
    num_tokens: int
    """Of the prompts, estimated."""
    file: str = ""
    """The server's name for the uploaded file."""
    batch: str = ""
    """The server's name for the batch."""
    told: str = ""
    """The server's word for its state."""
    num_completed: int = 0
    num_failed: int = 0
    created: datetime | None = None
    """When the server was asked to create it, the last time."""
    num_refused: int = 0
    """How often the quota had no place for it, although nothing of ours was in flight."""
    num_cut: int = 0
    """How often its output file had fewer lines than the server counts."""
    num_answered: int = 0
    unanswered: dict[str, str] = {}
    """Requests of an ended batch without an answer, and why."""
    forms: list[str] = []
    """Forms of its requests that were answered; see `engines.generators.batch_lines.form_of`."""

    @property
    def is_open(self) -> bool:
        return self.state not in ("ended", "split")

    @property
    def is_queued(self) -> bool:
        """Whether its tokens may count on the server."""
        return self.state in ("creating", "running")


class BatchFolder:
    """The entries of a work folder for one engine, and their requests."""

    def __init__(self, work_dir: Path, identity: str) -> None:
        self._folder = work_dir / FOLDER / identity

    def entries(self) -> list[BatchEntry]:
        """All entries.

        Raises:
            RunError: an entry is damaged.
        """
        return list(_read(self._folder))

    def add(self, entry: BatchEntry, requests: bytes) -> None:
        """Write the requests of a new batch, then its entry."""
        write_bytes(self._folder / f"{entry.name}{_REQUESTS}", requests)
        self.write(entry)

    def write(self, entry: BatchEntry) -> None:
        """Write an entry, atomically."""
        write_bytes(self._folder / f"{entry.name}{_ENTRY}", entry.model_dump_json(indent=1).encode())

    def requests(self, entry: BatchEntry) -> bytes:
        """The file of requests of an open batch."""
        return storage.read(self._folder / f"{entry.name}{_REQUESTS}")

    def forget_requests(self, entry: BatchEntry) -> None:
        """Delete the requests of a batch that is over: their answers are stored."""
        (self._folder / f"{entry.name}{_REQUESTS}").unlink(missing_ok=True)

    def path_of(self, entry: BatchEntry) -> Path:
        return self._folder / f"{entry.name}{_ENTRY}"


def batches_in(work_dir: Path) -> list[BatchEntry]:
    """All batches of a work folder, of any engine, in the order of their creation."""
    folder = work_dir / FOLDER
    engines = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [entry for engine in engines for entry in _read(engine)]
    return sorted(found, key=lambda entry: (entry.created is None, str(entry.created), entry.name))


def _read(folder: Path) -> Iterator[BatchEntry]:
    for name, _ in storage.listed(folder):
        if name.endswith(_ENTRY) and not name.startswith("."):
            try:
                yield BatchEntry.model_validate_json(storage.read(folder / name))
            except ValidationError as error:
                raise RunError(
                    f"{folder / name} is damaged, or of another version",
                    "It names a batch that may be paid for. Restore the file; or delete it, and the next build looks"
                    " for the batch on the server by its requests.",
                ) from error
