"""The measures of the gap, against what is known of clouds that were made to be so."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from unicorn_hf.cards.plots import plot_gap
from unicorn_hf.representations.gap import cosine, frechet, measure, mmd, neighbours_kept, projected

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
