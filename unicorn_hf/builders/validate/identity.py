"""Check rows against each other: ids are unique, and a row of `instruction` matches the row of its caption.

Memory holds 48 bytes of digests per row, whatever the length of the texts.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unicorn_hf.builders.rows import found_vectors
from unicorn_hf.builders.validate.report import Findings

SHARED = ("caption", "seed", "domain", "image_embedding")
"""Columns that must be equal in both configs."""
_ID_BYTES = 16


@dataclass
class Ledger:
    """The ids of a config's rows and digests of their `SHARED` columns, in order."""

    files: list[tuple[str, int]] = field(default_factory=list)
    """Names, and the index of the first row among all rows."""
    num_rows: int = 0
    ids: list[NDArray[np.bytes_]] = field(default_factory=list)
    contents: list[NDArray[np.uint64]] = field(default_factory=list)

    def begin(self, file: str) -> None:
        self.files.append((file, self.num_rows))

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the next rows; a missing column gets the digest 0."""
        names, number = batch.schema.names, batch.num_rows
        ids = batch.column("id").to_pylist() if "id" in names else [None] * number
        # Another check reports missing ids; they must not count as duplicates.
        own = [f"\0{row}" if value is None else value for row, value in enumerate(ids, self.num_rows)]
        self.ids.append(np.array([_digest(value.encode(), _ID_BYTES) for value in own], dtype=f"S{_ID_BYTES}"))
        self.num_rows += number
        self.contents.append(
            np.stack([_contents(batch.column(n)) if n in names else np.zeros(number, np.uint64) for n in SHARED], 1)
        )

    def place(self, row: int) -> tuple[str, int]:
        """Return the file of a row among all rows, and its row number in the file."""
        starts = [start for _, start in self.files]
        number = int(np.searchsorted(starts, row, "right")) - 1
        return self.files[number][0], row - starts[number]


def check_identity(pretrain: Ledger, instruction: Ledger, findings: Findings) -> None:
    """Check that ids are unique in each config, and that `pretrain` has those of `instruction` with equal columns."""
    ids, order = _sorted(pretrain)
    _check_unique(pretrain, ids, order, findings)
    _check_unique(instruction, *_sorted(instruction), findings)
    if not instruction.num_rows:
        return
    wanted = np.concatenate(instruction.ids)
    places = np.searchsorted(ids, wanted)
    found = np.zeros(len(wanted), bool)
    inside = places < len(ids)
    found[inside] = ids[places[inside]] == wanted[inside]
    for row in np.flatnonzero(~found):
        file, number = instruction.place(int(row))
        findings.add("join", file, "pretrain has no caption with this id", row=number, field="id")
    if not found.any():
        return
    ours = np.concatenate(instruction.contents)[found]
    of_caption = order[places[found]]
    theirs = np.concatenate(pretrain.contents)[of_caption]
    rows = np.flatnonzero(found)
    for place, column in np.argwhere((ours != theirs) & (ours != 0) & (theirs != 0)):
        file, number = instruction.place(int(rows[place]))
        other = " row ".join(map(str, pretrain.place(int(of_caption[place]))))
        message = f"differs from the row with this id: {other}"
        findings.add("join", file, message, row=number, field=SHARED[column])


def _sorted(ledger: Ledger) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
    ids = np.concatenate([np.empty(0, f"S{_ID_BYTES}"), *ledger.ids])
    order = np.argsort(ids, kind="stable")
    return ids[order], order


def _check_unique(ledger: Ledger, ids: NDArray[np.bytes_], order: NDArray[np.int64], findings: Findings) -> None:
    again = np.flatnonzero(ids[1:] == ids[:-1]) + 1
    firsts = np.searchsorted(ids, ids[again])
    for row, first in sorted(zip(order[again].tolist(), order[firsts].tolist(), strict=True)):
        file, number = ledger.place(row)
        other = " row ".join(map(str, ledger.place(first)))
        findings.add("duplicate_id", file, f"{other} already has this id", row=number, field="id")


def _contents(column: pa.Array) -> NDArray[np.uint64]:
    if isinstance(column, pa.FixedSizeListArray):
        vectors, rows = found_vectors(column)
        digests = np.zeros(len(column), np.uint64)
        digests[rows] = [_number(vector.tobytes()) for vector in vectors]
        return digests
    return np.array([0 if value is None else _number(value.encode()) for value in column.to_pylist()], np.uint64)


def _number(value: bytes) -> int:
    return int.from_bytes(_digest(value, 8), "big") or 1


def _digest(value: bytes, size: int) -> bytes:
    return hashlib.blake2b(value, digest_size=size).digest()
