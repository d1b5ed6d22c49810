"""Index of stored answers by key: 16 bytes per answer, in a few sorted runs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.runtime.answers.segments import Keys


class _Run(NamedTuple):
    keys: Keys
    """Ascending."""
    files: NDArray[np.uint32]
    places: NDArray[np.uint32]


def _sorted(keys: Keys, files: NDArray[np.uint32], places: NDArray[np.uint32]) -> _Run:
    """Sort entries by their keys; those of equal keys keep their order. Two sorted halves are merged in linear time."""
    order = np.argsort(keys, kind="stable")
    return _Run(keys[order], files[order], places[order])


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
        self._runs.append(_sorted(keys, np.full(len(keys), file, np.uint32), places))
        while len(self._runs) > 1 and 2 * len(self._runs[-1].keys) >= len(self._runs[-2].keys):
            later, before = self._runs.pop(), self._runs.pop()
            self._runs.append(
                _sorted(
                    np.concatenate([before.keys, later.keys]),
                    np.concatenate([before.files, later.files]),
                    np.concatenate([before.places, later.places]),
                )
            )

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
