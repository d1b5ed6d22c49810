"""The transfers against what the paper says, in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open

from tests.representations.test_moments import units
from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.moments import Moments
from unicorn_hf.representations.transfers import Identity, MeanShift, fit, normalise, save_transfer


def mean_shift(vectors: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """v = N(u - mu), row by row, in float64."""
    rows = []
    for vector in vectors.astype(np.float64):
        moved = vector - mean
        rows.append(moved / np.sqrt(np.sum(moved**2)))
    return np.array(rows)


@given(st.integers(2, 50), st.integers(2, 40), st.integers(0, 99))
def test_the_mean_shift_is_the_papers(number: int, dim: int, seed: int) -> None:
    vectors = units(number, dim, seed)
    mean = Moments.of(vectors).mean
    moved = fit("mean_shift", mean).apply_text(vectors)
    assert moved.dtype == np.float32
    expected = mean_shift(vectors, mean)
    away = np.linalg.norm(vectors - mean, axis=1) > 1e-2
    np.testing.assert_allclose(moved[away], expected[away], atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)


def test_what_is_moved_has_no_mean_direction_left() -> None:
    vectors = units(5000, 64)
    moved = fit("mean_shift", Moments.of(vectors).mean).apply_text(vectors)
    assert np.linalg.norm(vectors.mean(axis=0)) > 0.5
    assert np.linalg.norm(moved.mean(axis=0)) < 0.05


def test_the_argument_is_not_changed() -> None:
    vectors = units(9, 4)
    before = vectors.copy()
    for name in ("none", "mean_shift"):
        fit(name, Moments.of(vectors).mean).apply_text(vectors)  # type: ignore[arg-type]
    np.testing.assert_array_equal(vectors, before)


def test_images_lose_their_own_mean() -> None:
    texts, images = units(50, 8), units(30, 8, seed=3)
    known = units(500, 8, seed=4).astype(np.float64).mean(axis=0)
    at_hand = fit("mean_shift", Moments.of(texts).mean).apply_image(images)
    np.testing.assert_allclose(at_hand, mean_shift(images, images.astype(np.float64).mean(axis=0)), atol=2e-5)
    given_mean = MeanShift(Moments.of(texts).mean, known).apply_image(images)
    np.testing.assert_allclose(given_mean, mean_shift(images, known), atol=2e-5)


def test_none_changes_nothing() -> None:
    vectors = units(9, 4)
    transfer = fit("none", Moments.of(vectors).mean)
    assert isinstance(transfer, Identity)
    np.testing.assert_array_equal(transfer.apply_text(vectors), vectors)
    np.testing.assert_array_equal(transfer.apply_image(vectors), vectors)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_a_direction_is_named(bad: float) -> None:
    vectors = np.ones((4, 3), dtype=np.float32)
    vectors[2] = bad
    with pytest.raises(InputError) as caught:
        normalise(vectors)
    assert caught.value.message.startswith("row 2: the vector has no direction")


@pytest.mark.parametrize("number", [1, 2, 5])
def test_vectors_that_are_all_equal_cannot_be_shifted(number: int) -> None:
    vectors = np.repeat(np.array([[0.5, 0.5, 0.5, 0.5]], dtype=np.float32), number, axis=0)
    with pytest.raises(InputError) as caught:
        fit("mean_shift", Moments.of(vectors).mean).apply_text(vectors)
    assert "--transfer none" in caught.value.advice


def test_the_consumers_half_is_saved_with_all_its_digits(tmp_path: Path) -> None:
    mean = Moments.of(units(100, 6)).mean
    save_transfer(tmp_path / "t.safetensors", "mean_shift", "hashing:6", mean, 100)
    with safe_open(tmp_path / "t.safetensors", "np") as file:
        assert list(file.keys()) == ["text_mean"]
        np.testing.assert_array_equal(file.get_tensor("text_mean"), mean)
        (facts,) = map(json.loads, file.metadata().values())
    assert (facts["transfer"], facts["encoder"], facts["text_count"]) == ("mean_shift", "hashing:6", 100)
    save_transfer(tmp_path / "again.safetensors", "mean_shift", "hashing:6", mean, 100)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "t.safetensors").read_bytes()
