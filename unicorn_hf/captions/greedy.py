"""Selects the captions of a set: the shortest prefix of candidates with enough captions that are no near-duplicates."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Selection:
    """The kept ones of the first `num_used` candidates."""

    kept: NDArray[np.bool_]
    """Shape (candidates,); False from `num_used` on."""
    num_used: int


def select(
    eligible: NDArray[np.bool_], richness: NDArray[np.int32], pairs: Iterable[tuple[int, int]], wanted: int
) -> Selection:
    """Keep `wanted` candidates of the shortest sufficient prefix, no two of which are a pair.

    In the prefix, better candidates come first (more distinct words; then the earlier one), and each is kept if it is
    in no pair with a kept one. So every rejected candidate has a better one that is kept. Later candidates have no
    influence.

    Args:
        eligible: shape (candidates,); the others are never kept.
        richness: shape (candidates,); the number of distinct words of each.
        pairs: candidates that are near-duplicates of each other.
        wanted: how many to keep; all, if there are fewer.
    """
    state = _Greedy(richness, pairs)
    plain = eligible.copy()
    plain[list(state.partners)] = False
    num_plain = np.concatenate([[0], np.cumsum(plain)])
    end = 0
    for candidate in sorted(state.partners):
        if num_plain[candidate] + state.num_kept >= wanted:
            break
        if eligible[candidate]:
            state.take(candidate)
        end = candidate + 1
    # The least sufficient end from here on: `num_plain` never decreases.
    end = max(end, int(np.searchsorted(num_plain, wanted - state.num_kept)))
    end = min(end, len(eligible))
    kept = plain.copy()
    kept[[candidate for candidate, is_kept in state.kept.items() if is_kept]] = True
    kept[end:] = False
    return Selection(kept, end)


def kept_for(selection: Selection, richness: NDArray[np.int32], pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """For each rejected candidate of a pair, the best kept one that it duplicates."""
    found: dict[int, int] = {}
    for pair in pairs:
        for out, stays in (pair, pair[::-1]):
            better = selection.kept[stays] and not selection.kept[out] and out < selection.num_used
            if better and (out not in found or _rank(richness, stays) < _rank(richness, found[out])):
                found[out] = stays
    return found


class _Greedy:
    """The kept ones among the candidates so far, updated with each further one."""

    def __init__(self, richness: NDArray[np.int32], pairs: Iterable[tuple[int, int]]) -> None:
        self._richness = richness
        self.partners: dict[int, list[int]] = defaultdict(list)
        for one, other in pairs:
            self.partners[one].append(other)
            self.partners[other].append(one)
        self.kept: dict[int, bool] = {}
        self.num_kept = 0

    def take(self, candidate: int) -> None:
        self.kept[candidate] = False
        # Best first: each decision depends only on better candidates.
        waiting = [_rank(self._richness, candidate)]
        while waiting:
            rank = heappop(waiting)
            at = rank[1]
            better = (other for other in self.partners[at] if _rank(self._richness, other) < rank)
            keep = not any(self.kept.get(other, False) for other in better)
            if keep == self.kept[at]:
                continue
            self.kept[at] = keep
            self.num_kept += 1 if keep else -1
            for other in self.partners[at]:
                if other in self.kept and _rank(self._richness, other) > rank:
                    heappush(waiting, _rank(self._richness, other))


def _rank(richness: NDArray[np.int32], candidate: int) -> tuple[int, int]:
    return -int(richness[candidate]), candidate
