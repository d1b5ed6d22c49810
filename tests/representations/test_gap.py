"""The measures of the gap, against what is known of clouds that were made to be so."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unicorn_hf.cards.plots import plot_gap
from unicorn_hf.representations.gap import (
    cosine,
    frechet,
    measure,
    mixing,
    mmd,
    neighbours_kept,
    projected,
    residual,
    similarities_kept,
)

Cloud = NDArray[np.float64]


def cloud(number: int, dim: int, seed: int, *, mean: float = 0.0, deviation: float = 1.0) -> Cloud:
    made: Cloud = np.random.default_rng(seed).normal(mean, deviation, size=(number, dim))
    return made


def test_two_clouds_apart_by_their_means_alone() -> None:
    texts = cloud(2000, 6, 0)
    images = texts + np.array([3.0, 0, 0, 0, 0, 0])
    gap = measure(texts, images, (texts, images))
    assert gap.mean_gap == pytest.approx(3)
    assert gap.mean_share == pytest.approx(1)  # A text and its image differ by the mean gap and nothing else.
    assert gap.frechet == pytest.approx(3)
    assert gap.cosine_to_image_mean == pytest.approx(1, abs=0.01)
    unpaired = measure(texts, images)
    assert unpaired.mean_share == pytest.approx(9 / (9 + 6 + 6), abs=0.02)
    assert unpaired.paired_cosine is None
    assert unpaired.residual_dimension is None
    assert 0 <= unpaired.text_mixing <= 1.2  # type: ignore[operator]


def test_paired_cosines_are_of_the_pairs() -> None:
    texts = cloud(50, 4, 0)
    assert measure(texts, texts, (texts, 2 * texts)).paired_cosine == pytest.approx(1)
    assert measure(texts, texts, (texts, -texts)).paired_cosine == pytest.approx(-1)


def test_frechet_of_normal_distributions_is_the_formulas() -> None:
    one, other = cloud(60_000, 3, 0), cloud(60_000, 3, 1, mean=2, deviation=3)
    # |mean|² = 3 * 4, and sum (sd - sd)² = 3 * 4.
    assert frechet(one, other) == pytest.approx(np.sqrt(24), rel=0.02)
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)
    few = cloud(5, 40, 0)
    assert frechet(few, few + 1) == pytest.approx(np.sqrt(40), rel=1e-6)


def test_mmd_tells_distributions_apart_and_equal_ones_not() -> None:
    one, same, other = cloud(600, 5, 0), cloud(500, 5, 1), cloud(500, 5, 2, mean=0.7)
    assert mmd(one, same) < 0.05
    assert mmd(one, other) > 0.2
    assert mmd(one, other) == pytest.approx(mmd(other, one))
    assert mmd(100 * one, 100 * other) == pytest.approx(mmd(one, other))  # The bandwidth is the clouds' own.


def test_mmd_is_its_formula() -> None:
    one, other = cloud(7, 3, 0), cloud(9, 3, 1, mean=2)
    both = [*one, *other]
    distances = [np.sum((a - b) ** 2) for i, a in enumerate(both) for b in both[i + 1 :]]
    width = np.median(distances)

    def kernel(a: Cloud, b: Cloud) -> float:
        return float(np.exp(-np.sum((a - b) ** 2) / (2 * width)))

    within = np.mean([kernel(a, b) for i, a in enumerate(one) for j, b in enumerate(one) if i != j])
    within_other = np.mean([kernel(a, b) for i, a in enumerate(other) for j, b in enumerate(other) if i != j])
    between = np.mean([kernel(a, b) for a in one for b in other])
    assert mmd(one, other) ** 2 == pytest.approx(within + within_other - 2 * between)


def test_neighbours_survive_what_keeps_angles() -> None:
    vectors = cloud(1500, 16, 0)
    turn, _ = np.linalg.qr(cloud(16, 16, 1))
    assert neighbours_kept(vectors, 3 * vectors @ turn) == 1
    assert neighbours_kept(vectors, cloud(1500, 16, 2)) < 0.05
    assert neighbours_kept(vectors[:3], vectors[:3]) == 1


def test_what_is_kept_of_pairs_of_texts() -> None:
    vectors = cloud(300, 16, 0)
    turn, _ = np.linalg.qr(cloud(16, 16, 1))
    assert similarities_kept(vectors, 3 * vectors @ turn) == pytest.approx(1)
    assert abs(similarities_kept(vectors, cloud(300, 16, 2))) < 0.05
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors.T / np.outer(lengths, lengths)
    shifted = vectors + 0.5
    others = shifted @ shifted.T / np.outer(*2 * [np.linalg.norm(shifted, axis=1)])
    above = np.triu_indices(300, 1)
    assert similarities_kept(vectors, shifted) == pytest.approx(np.corrcoef(cosines[above], others[above])[0, 1])
    assert similarities_kept(vectors[:1], vectors[:1]) == 0


@settings(max_examples=20)
@given(number=st.integers(150, 250), others=st.integers(150, 250), seed=st.integers(0, 99))
def test_clouds_with_shuffled_labels_are_mixed_and_apart_they_are_not(number: int, others: int, seed: int) -> None:
    both = np.random.default_rng(seed).permutation(cloud(number + others, 6, seed))
    one, other = both[:number], both[number:]
    assert mixing(one, other) == pytest.approx(1, abs=0.1)
    far = cloud(others, 6, seed, deviation=0.01) + 50 * np.eye(6)[0]
    near = cloud(number, 6, seed, deviation=0.01) - 50 * np.eye(6)[0]
    assert mixing(near, far) == mixing(far, near) == 0


def test_mixing_is_of_each_sides_own_surroundings() -> None:
    """Texts in one place among images everywhere: an image rarely has a text near, a text always has images."""
    images = cloud(1000, 4, 0)
    texts = images[0] + cloud(40, 4, 1, deviation=0.05)
    assert mixing(texts, images) > 3 * mixing(images, texts)


def test_mixing_is_its_formula() -> None:
    one, other, number = cloud(9, 3, 0), cloud(7, 3, 1), 4
    both, labels = np.concatenate([one, other]), np.array([0] * 9 + [1] * 7)
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)

    def entropy(share: float) -> float:
        return 0 if share in (0, 1) else -share * np.log2(share) - (1 - share) * np.log2(1 - share)

    def found(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        nearest = [[at for at in np.argsort(-unit @ unit[row]) if at != row][:number] for row in rows]
        return float(np.mean([entropy(labels[near].mean()) for near in nearest]))

    random = np.random.default_rng(0)
    shuffled = [random.permutation(labels) for _ in range(400)]
    expected = np.mean([found(some, np.flatnonzero(some == 0)) for some in shuffled])
    assert mixing(one, other, number) == pytest.approx(found(labels, np.arange(9)) / expected, rel=0.02)


@given(dim=st.integers(1, 12), seed=st.integers(0, 99))
def test_residuals_of_known_shape(dim: int, seed: int) -> None:
    texts, random = cloud(4000, dim, seed), np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    spread = np.linspace(1, 3, dim)
    anisotropy, dimension = residual(texts, texts + 5 + random.normal(size=texts.shape) * spread @ turn)
    assert anisotropy == pytest.approx(spread.max() ** 2 / np.mean(spread**2), rel=0.1)
    assert dimension == pytest.approx(np.sum(spread**2) ** 2 / np.sum(spread**4) / dim, rel=0.1)
    flat = residual(texts, texts + random.normal(size=(4000, 1)) * np.eye(dim)[0])
    assert flat == (pytest.approx(dim), pytest.approx(1 / dim))
    assert residual(texts, texts + 5) == (0, 0)


def test_clouds_are_projected_to_where_they_differ() -> None:
    one = cloud(300, 10, 0, deviation=0.1)
    other = one + np.eye(10)[3] * 5
    first, second = projected([one, other])
    assert first.shape == second.shape == (300, 2)
    assert abs(first[:, 0].mean() - second[:, 0].mean()) == pytest.approx(5, rel=0.01)
    again = projected([one.copy(), other.copy()])
    np.testing.assert_array_equal(again[0], first)


def test_no_direction_is_no_cosine() -> None:
    assert cosine(np.zeros(3), np.ones(3)) == 0


def test_the_picture_is_the_same_every_time(tmp_path: Path) -> None:
    from PIL import Image

    clouds = (cloud(50, 2, 0), cloud(50, 2, 1, mean=2))
    for name in ("one.png", "two.png"):
        plot_gap(tmp_path / name, clouds, (clouds[0], clouds[0] + 0.1), ("before", "after"))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == (1080, 528)
        assert len(image.getcolors(1 << 20) or []) > 50
