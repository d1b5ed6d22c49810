"""AnisoAlign: fitted weights are applied as its formula says, with any sharding, and fitting is repeatable."""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.representations import formulas
from tests.representations.conftest import QUICK
from tests.representations.test_moments import units
from tests.representations.test_transfers import applied, fitted, statistics_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfers import fit
from unicorn_hf.representations.transfers.aniso_align import AnisoAlign

NAME = "aniso_align"


@cache
def example(dim: int, seed: int, cone: float) -> tuple[np.ndarray, AnisoAlign]:  # type: ignore[type-arg]
    texts, images = units(400, dim, seed, cone=cone), units(300, dim, seed + 1000, cone=-0.4)
    transfer = fitted(NAME, texts, images)
    assert isinstance(transfer, AnisoAlign)
    return texts, transfer


@given(
    dim=st.sampled_from([2, 3, 5, 8, 33, 96]),
    seed=st.integers(0, 3),
    cone=st.sampled_from([0.0, 0.5, 2.0]),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
def test_fitted_weights_are_applied_as_the_formula_says_with_any_sharding(
    dim: int, seed: int, cone: float, cuts: list[int]
) -> None:
    texts, transfer = example(dim, seed, cone)
    exact = formulas.aniso_align(
        texts.astype(np.float64), transfer.text_mean, transfer.image_mean, dict(transfer.tensors)
    )
    np.testing.assert_allclose(applied(transfer, texts, cuts), exact, rtol=0, atol=1e-6)


def test_fitting_is_the_same_whatever_the_parts_and_the_order() -> None:
    texts, images = units(300, 24, 1), units(200, 24, 2, cone=-0.4)
    before = fitted(NAME, texts, images, [50, 51, 200])
    again = fitted(NAME, texts[::-1], images[::-1], [170])
    for name, array in before.tensors.items():
        np.testing.assert_allclose(again.tensors[name], array, rtol=0, atol=1e-5, err_msg=name)
    # With the same parts, to the last bit.
    same = fitted(NAME, texts, images, [50, 51, 200])
    for name, array in before.tensors.items():
        np.testing.assert_array_equal(same.tensors[name], array, err_msg=name)
    other = fitted(NAME, texts, images, seed=1)
    assert not np.array_equal(other.tensors["basis"], before.tensors["basis"])


def test_training_changes_something_within_its_bounds() -> None:
    texts, images = units(300, 24, 1), units(200, 24, 2, cone=-0.4)
    transfer = fitted(NAME, texts, images)
    assert isinstance(transfer, AnisoAlign)
    started = transfer.started(texts.astype(np.float64) - transfer.text_mean)
    refined = transfer.refined(started)
    turns, stretches = refined.phases - started.phases, np.log(refined.radii / started.radii)
    assert 0.001 < np.abs(turns).max() <= QUICK.most_turn + 1e-6
    assert 0.001 < np.abs(stretches).max() <= QUICK.most_stretch + 1e-6
    np.testing.assert_array_equal(refined.rest, started.rest)


def test_the_start_has_the_images_radii_and_spread() -> None:
    texts, images = units(4000, 16, 1), units(3000, 16, 2, cone=-0.4)
    transfer = fitted(NAME, texts, images)
    assert isinstance(transfer, AnisoAlign)
    started = transfer.started(texts.astype(np.float64) - transfer.text_mean)
    turned = images.astype(np.float64) @ transfer.basis
    radii = np.hypot(turned[:, 0:8:2], turned[:, 1:8:2])
    np.testing.assert_allclose(started.radii.mean(axis=0), radii.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(started.radii.std(axis=0), radii.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(started.rest.mean(axis=0), turned[:, 8:].mean(axis=0), atol=0.002)
    np.testing.assert_allclose(started.rest.std(axis=0), turned[:, 8:].std(axis=0), rtol=0.01)


def test_the_score_network_learns_the_images_phases() -> None:
    """Trained longer, the refinement's prior loss falls: texts' phases come where images' are."""
    import torch

    from unicorn_hf.representations.phase_networks import Prior, Score

    generator = torch.Generator().manual_seed(0)
    phases = 0.4 * torch.randn(600, 4, generator=generator) + torch.tensor([0.0, 1.0, 2.0, -2.0])
    radii = torch.rand(600, 4, generator=generator) + 0.5
    settings = replace(QUICK, num_steps=150, hidden=32, learning_rate=0.01)
    torch.manual_seed(0)
    prior = Prior.of(phases, radii, settings)
    untrained = Score(4, radii.log(), prior.sigma, settings.hidden)
    score = Score.trained(prior, phases, radii, settings)
    with torch.inference_mode():
        torch.manual_seed(1)
        before, after = (float(prior.loss(network, phases, radii.log())) for network in (untrained, score))
        torch.manual_seed(1)
        far = float(prior.loss(score, phases + torch.pi, radii.log()))
    assert after < 0.8 * before
    assert far > 1.2 * after


def test_equal_radii_and_equal_coordinates_are_no_trouble() -> None:
    texts, images = units(200, 8), units(200, 8, 1)
    texts[:, 3:] = 0
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    moved = fitted(NAME, texts, images).apply_text(texts)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)


# -- what is missing ---------------------------------------------------------------------------------------------------

TEXTS, IMAGES = units(60, 6), units(40, 6, 1, cone=-0.3)


@pytest.mark.parametrize(
    ("kept", "texts", "message", "advice"),
    [
        (None, TEXTS, "fitted to image vectors, but the image statistics contain none", "--keep-vectors 10000"),
        (9, TEXTS, "16 different image vectors or more, but the image statistics contain 9", "Pass more images"),
        (40, TEXTS[:9], "16 different captions or more, but the set has 9", "--transfer"),
    ],
)
def test_too_few_vectors_are_refused(kept: int | None, texts: np.ndarray, message: str, advice: str) -> None:  # type: ignore[type-arg]
    statistics = replace(
        statistics_of(NAME, texts, IMAGES, []), image_vectors=None if kept is None else Sample.of(IMAGES, kept)
    )
    with pytest.raises(InputError, match=message) as caught:
        fit(NAME, statistics)
    assert advice in caught.value.advice


def test_without_torch_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="fitted with PyTorch, which is not installed") as caught:
        fitted(NAME, TEXTS, IMAGES)
    assert "unicorn-hf[torch]" in caught.value.advice
