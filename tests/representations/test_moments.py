"""Statistics over partitions: whatever the split and the order, the whole is the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.schemas import MOMENTS
from unicorn_hf.representations.moments import DomainMoments, Moments
from unicorn_hf.representations.rows import RowError, in_shard


def units(number: int, dim: int, seed: int = 0, *, cone: float = 0.7) -> NDArray[np.float32]:
    """Unit vectors with a mean, as encoders give them; the larger `cone`, the nearer to each other."""
    vectors = np.random.default_rng(seed).normal(size=(number, dim)) + cone
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def assert_same(one: Moments, other: Moments) -> None:
    assert one.count == other.count
    np.testing.assert_allclose(one.mean, other.mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=1e-12, atol=1e-12)


@given(
    st.integers(1, 900),
    st.integers(1, 9),
    st.lists(st.integers(0, 900), max_size=40),
    st.sampled_from([0.0, 0.7, 100.0]),
    st.randoms(use_true_random=False),
)
def test_any_split_in_any_order_gives_the_same_to_a_trillionth(
    number: int, dim: int, cuts: list[int], cone: float, random: object
) -> None:
    vectors = units(number, dim, number, cone=cone)
    parts = [Moments.of(part) for part in np.split(vectors, sorted(min(cut, number) for cut in cuts))]
    merged = Moments.merged(parts, dim)
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert_same(Moments.merged(parts, dim), merged)
    half = len(parts) // 2
    assert_same(Moments.merged([Moments.merged(parts[:half], dim), Moments.merged(parts[half:], dim)], dim), merged)
    exact = vectors.astype(np.float64)
    assert_same(merged, Moments(number, exact.mean(axis=0), number * exact.var(axis=0)))


def test_vectors_far_from_the_origin_lose_no_digit_of_their_variance() -> None:
    vectors = (np.random.default_rng(0).normal(size=(20_000, 3)) * 1e-3 + 10_000).astype(np.float32)
    moments = Moments.merged([Moments.of(part) for part in np.array_split(vectors, 77)])
    near = vectors.astype(np.float64) - 10_000
    np.testing.assert_allclose(moments.variance, near.var(axis=0), rtol=1e-10)


def test_trace_is_the_mean_squared_distance_from_the_mean() -> None:
    vectors = units(300, 7)
    exact = vectors.astype(np.float64)
    assert Moments.of(vectors).trace == pytest.approx(np.mean(np.sum((exact - exact.mean(0)) ** 2, axis=1)), rel=1e-12)


def test_half_floats_are_summed_as_what_they_are() -> None:
    vectors = units(5000, 4).astype(np.float16)
    assert_same(Moments.of(vectors), Moments.of(vectors.astype(np.float64)))


@given(st.lists(st.sampled_from(["birds", "food", "open-domain"]), min_size=1, max_size=60), st.integers(1, 7))
def test_domains_have_their_own_moments(domains: list[str], num_parts: int) -> None:
    vectors = units(len(domains), 5, len(domains))
    cuts = np.array_split(np.arange(len(domains)), num_parts)
    parts = [DomainMoments.of(vectors[cut], [domains[row] for row in cut]) for cut in cuts if len(cut)]
    merged = DomainMoments.merged(iter(parts))
    assert list(merged.domains) == sorted(set(domains))
    assert_same(merged.overall, Moments.of(vectors))
    for name, moments in merged.domains.items():
        assert_same(moments, Moments.of(vectors[np.array(domains) == name]))


def test_many_partitions_are_merged_a_few_at_a_time() -> None:
    vectors = units(1000, 6)
    merged = DomainMoments.merged(DomainMoments.of(part, ["a"] * len(part)) for part in np.array_split(vectors, 200))
    assert_same(merged.overall, Moments.of(vectors))


def test_moments_come_back_from_their_table() -> None:
    before = DomainMoments.of(units(7, 5), list("abacaba"))
    table = before.to_table()
    assert table.schema.equals(MOMENTS)
    after = DomainMoments.from_table(table)
    assert list(after.domains) == ["a", "b", "c"]
    for name in after.domains:
        np.testing.assert_array_equal(after.domains[name].mean, before.domains[name].mean)
        np.testing.assert_array_equal(after.domains[name].scatter, before.domains[name].scatter)
        assert after.domains[name].count == before.domains[name].count


@pytest.mark.parametrize(("bad", "what"), [(0.0, "is zero"), (np.nan, "contains NaN"), (np.inf, "is not finite")])
@pytest.mark.parametrize("row", [0, 3, 1500])
def test_a_row_without_a_direction_is_named_with_its_shard(bad: float, what: str, row: int) -> None:
    vectors = units(2000, 400)
    vectors[row] = bad
    domains = ["a", "b"] * 1000
    with pytest.raises(RowError, match=f"row {row}: the vector {what}"):
        DomainMoments.of(vectors, domains)
    with pytest.raises(InputError, match=rf"shard 000-00007, row {row}: the vector {what}"), in_shard("000-00007"):
        Moments.of(vectors)
    with pytest.raises(InputError, match=f"shard x, row {row * 2}: "), in_shard("x", range(0, 4000, 2)):
        Moments.of(vectors)


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_what_has_no_spread_is_refused(number: int) -> None:
    vectors = np.repeat(units(1, 8), number, axis=0)
    with pytest.raises(InputError, match=f"the texts: (all )?{number} vectors"):
        Moments.of(vectors).check_spread("the texts")
