"""Index of stored answers by key: 16 bytes per answer, in a few sorted runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.runtime.answers.segments import Keys


@dataclass(frozen=True)
class _Run:
    keys: Keys
    """Ascending."""
    files: NDArray[np.uint32]
    places: NDArray[np.uint32]

    def plus(self, other: "_Run") -> "_Run":
        """Merge both; entries of this run come first where keys are equal."""
        num = len(self.keys) + len(other.keys)
        at = np.searchsorted(self.keys, other.keys, side="right") + np.arange(len(other.keys))
        mine = np.ones(num, bool)
        mine[at] = False

        def merged(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
            values = np.empty(num, before.dtype)
            values[mine], values[at] = before, after
            return values

        return _Run(merged(self.keys, other.keys), merged(self.files, other.files), merged(self.places, other.places))


class Index:
    """Maps the key of an answer to its file and place.

    New places form a new run. The last two runs are merged while the last is at least half as long as the one before:
    so there are few runs, and each place is copied only a few times.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, file: int, keys: Keys, places: NDArray[np.uint32]) -> None:
        """Add places in a file, which is identified by a number."""
        if not len(keys):
            return
        order = np.argsort(keys, kind="stable")
        self._runs.append(_Run(keys[order], np.full(len(keys), file, np.uint32), places[order]))
        while len(self._runs) > 1 and 2 * len(self._runs[-1].keys) >= len(self._runs[-2].keys):
            later = self._runs.pop()
            self._runs[-1] = self._runs[-1].plus(later)

    def find(self, keys: Keys) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.uint32]]]:
        """Yield by file: positions in `keys`, and their places in the file. An answer may be in several files."""
        # Sorted keys are found in a third of the time: neighbours are in the CPU's cache.
        order = np.argsort(keys)
        for run in self._runs:
            positions, at = order, np.searchsorted(run.keys, keys[order])
            while len(positions):
                hits = at < len(run.keys)
                hits[hits] = run.keys[at[hits]] == keys[positions[hits]]
                positions, at = positions[hits], at[hits]
                files, places = run.files[at], run.places[at]
                for file in np.unique(files).tolist():
                    yield file, positions[files == file], places[files == file]
                at = at + 1  # The next entry may have the same key.

    def __len__(self) -> int:
        return sum(len(run.keys) for run in self._runs)
