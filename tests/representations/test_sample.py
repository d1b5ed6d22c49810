"""Kept vectors: the same ones however the set is split, and some of all of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.representations.test_moments import units
from unicorn_hf.core.schemas import TENSORS
from unicorn_hf.representations.sample import Sample


@given(
    st.integers(1, 300),
    st.integers(0, 200),
    st.lists(st.integers(0, 300), max_size=9),
    st.randoms(use_true_random=False),
)
def test_any_split_in_any_order_gives_the_same_rows(number: int, size: int, cuts: list[int], random: object) -> None:
    vectors = units(number, 5, number)
    whole = Sample.of(vectors, size)
    parts = [Sample.of(part, size) for part in np.split(vectors, sorted(min(cut, number) for cut in cuts))]
    random.shuffle(parts)  # type: ignore[attr-defined]
    merged = Sample.merged(parts)
    assert (merged.count, merged.identity) == (number, whole.identity)
    np.testing.assert_array_equal(merged.vectors, whole.vectors)
    backwards = Sample.of(vectors[::-1], size)
    np.testing.assert_array_equal(backwards.vectors, whole.vectors)


def test_they_are_rows_of_the_set_and_represent_it() -> None:
    vectors = units(5000, 16, cone=0.7)
    sample = Sample.of(vectors, 1000)
    assert (sample.vectors.dtype, sample.vectors.shape) == (np.float16, (1000, 16))
    rows = {row.tobytes() for row in vectors.astype(np.float16)}
    kept = {row.tobytes() for row in sample.vectors}
    assert len(kept) == 1000
    assert kept <= rows
    exact = vectors.astype(np.float64)
    error = np.linalg.norm(sample.vectors.astype(np.float64).mean(axis=0) - exact.mean(axis=0))
    assert error < 2 * np.sqrt(exact.var(axis=0).sum() / 1000)


def test_equal_rows_count_once() -> None:
    vectors = np.repeat(units(3, 4), 10, axis=0)
    sample = Sample.of(vectors, 20)
    assert (sample.count, len(sample.vectors)) == (30, 3)


def test_the_first_of_a_sample_are_a_smaller_sample() -> None:
    vectors = units(50, 4)
    np.testing.assert_array_equal(Sample.of(vectors, 30).first(7).vectors, Sample.of(vectors, 7).vectors)


@pytest.mark.parametrize("number", [0, 9])
def test_a_sample_comes_back_from_its_table(number: int) -> None:
    before = Sample.of(units(9, 4)[:number], 5)
    table = before.to_table()
    assert table.schema.equals(TENSORS)
    after = Sample.from_table(table)
    assert (after.count, after.size, after.identity) == (before.count, before.size, before.identity)
