"""Near-duplicate detection by MinHash with locality-sensitive hashing.

A text is the set of its shingles (runs of words). Two texts with a Jaccard similarity of s share a key of r hashes with
probability s^r, and at least one of b keys with 1 - (1 - s^r)^b (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, section 3.4).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.captions.shards import Pairs
from unicorn_hf.core.recipe import NearDuplicates
from unicorn_hf.core.words import runs, words

Keys = NDArray[np.uint64]

_SEED = 1
_FOUND = 0.97
"""Probability that two texts at the threshold share a key."""
_HASHES_PER_MARK = 32
_EVERY_OTHER_BIT = np.uint64(0x5555555555555555)
_DEVIATIONS = 3.5
MAX_PARTNERS = 16
"""Maximum number of better texts with the same key to compare with: keeps the work linear for large clusters."""


def shingles(text: str, num_words: int) -> frozenset[str]:
    """The runs of `num_words` words of a text; a shorter text is one run."""
    return frozenset(" ".join(run) for run in runs(text, num_words) or [words(text)])


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity of two texts' shingles."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


@lru_cache(maxsize=8)
def key_shape(threshold: float, num_hashes: int) -> tuple[int, int]:
    """Number of keys per text, and of hashes per key: the most hashes with which texts at the threshold share a key."""
    shapes = [(num_hashes // rows, rows) for rows in range(num_hashes, 0, -1)]
    return next((shape for shape in shapes if 1 - (1 - threshold ** shape[1]) ** shape[0] >= _FOUND), (num_hashes, 1))


def sketch(texts: Sequence[str], config: NearDuplicates) -> tuple[Keys, Keys]:
    """Keys of each text, and two bits of each hash as marks: arrays of shape (texts, number of keys or marks)."""
    from rensa import RMinHash

    num_keys, rows = key_shape(config.threshold or 1.0, config.num_hashes)
    sets = [list(shingles(text, config.shingle_words)) for text in texts]
    hashes = RMinHash.digests_from_token_sets(sets, num_perm=config.num_hashes, seed=_SEED)
    table = np.array(hashes, dtype=np.uint64).reshape(len(texts), config.num_hashes)
    factors = np.random.Generator(np.random.PCG64(_SEED)).integers(1 << 63, size=rows + 1, dtype=np.uint64) * 2 + 1
    # A sum with random odd factors, modulo 2**64: the comparison removes collisions.
    parts = table[:, : num_keys * rows].reshape(len(texts), num_keys, rows)
    bits = table * factors[rows] >> np.uint64(62)
    room = num_marks(config) * _HASHES_PER_MARK - config.num_hashes
    padded = np.pad(bits, ((0, 0), (0, room))).reshape(len(texts), num_marks(config), _HASHES_PER_MARK)
    places = np.arange(0, 64, 2, dtype=np.uint64)
    keys = (parts * factors[:rows]).sum(axis=2, dtype=np.uint64)
    return keys, (padded << places).sum(axis=2, dtype=np.uint64)


def num_marks(config: NearDuplicates) -> int:
    return -(-config.num_hashes // _HASHES_PER_MARK)


def may_be_alike(marks: Sequence[Keys], pairs: Pairs, config: NearDuplicates) -> NDArray[np.bool_]:
    """Which of `pairs` agree in as many marks as texts at the threshold, within 3.5 standard deviations.

    Hashes of two texts with a Jaccard similarity of s agree in two bits with probability s + (1 - s) / 4 (b-bit
    MinHash, Li and König 2010). This rejects one in 4,000 pairs at the threshold, and most pairs far below it.

    Args:
        marks: the marks of all texts: `num_marks` arrays of shape (texts,).
        pairs: texts that share a key.
        config: the threshold.
    """
    number = config.num_hashes
    share = 0.25 + 0.75 * (config.threshold or 1.0)
    most = number * (1 - share) + _DEVIATIONS * (number * share * (1 - share)) ** 0.5
    differing = np.zeros(len(pairs), np.int64)
    for words_of_all in marks:
        differs = words_of_all[pairs[:, 0]] ^ words_of_all[pairs[:, 1]]
        differing += np.bitwise_count((differs | differs >> np.uint64(1)) & _EVERY_OTHER_BIT)
    alike: NDArray[np.bool_] = differing <= most
    return alike


def meeting(keys: Keys, order: NDArray[np.int64]) -> Pairs:
    """Pairs of texts that share a key: an array of shape (pairs, 2), the better text of each first.

    Args:
        keys: one key of each text.
        order: the texts to compare, best first.
    """
    by_key = order[np.argsort(keys[order], kind="stable")]
    sorted_keys = keys[by_key]
    place = np.arange(len(by_key)) - np.searchsorted(sorted_keys, sorted_keys)
    found = [
        np.stack([by_key[at - place[at] + better], by_key[at]], axis=1)
        for better in range(MAX_PARTNERS)
        if len(at := np.flatnonzero(place > better))
    ]
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)
