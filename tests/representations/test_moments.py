"""Sums over partitions: whatever the split, the whole is the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unicorn_hf.core.schemas import MOMENTS
from unicorn_hf.representations.moments import Moments


def units(number: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors with a mean, as encoders give them."""
    vectors = np.random.default_rng(seed).normal(size=(number, dim)) + 0.7
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 9), st.lists(st.integers(0, 40), max_size=5), st.integers(0, 9))
def test_merging_any_split_equals_the_whole(number: int, dim: int, cuts: list[int], seed: int) -> None:
    vectors = units(number, dim, seed)
    parts = [Moments.of(part) for part in np.split(vectors, sorted(min(cut, number) for cut in cuts))]
    whole = Moments.of(vectors)
    merged = Moments.merged(parts)
    assert merged.count == whole.count == number
    np.testing.assert_allclose(merged.sum, whole.sum, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(merged.mean, vectors.astype(np.float64).mean(axis=0), rtol=1e-14, atol=1e-14)


def test_sums_keep_the_digits_that_float32_would_lose() -> None:
    vectors = np.full((200_000, 2), np.float32(0.1))
    exact = math.fsum(float(value) for value in vectors[:, 0])
    assert Moments.of(vectors).sum[0] == pytest.approx(exact, rel=1e-12)
    assert Moments.of(vectors).sum.dtype == Moments.of(vectors).mean.dtype == np.float64


def test_moments_come_back_from_their_table() -> None:
    before = Moments.of(units(7, 5))
    table = before.to_table()
    assert table.schema.equals(MOMENTS)
    after = Moments.from_table(table)
    assert after.count == before.count
    np.testing.assert_array_equal(after.sum, before.sum)
