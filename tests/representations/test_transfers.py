"""Every transfer against its formula in float64, with any sharding; what cannot be transferred is named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.representations import formulas
from tests.representations.test_moments import units
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.moments import Covariance, Moments, SetMean
from unicorn_hf.representations.rows import RowError
from unicorn_hf.representations.sample import Sample
from unicorn_hf.representations.transfers import Transfer, TransferStatistics, fit, fit_to_rows
from unicorn_hf.representations.transfers.mean_shift import MeanShift

Vectors = NDArray[np.float32]
NAMES = TRANSFERS.own_names
NEED_IMAGES = [name for name in NAMES if TRANSFERS.get(name).needs_images]
CAN_BE_UNDONE = ("none", "mean_shift", "mean_shift_raw", "mean_shift_to_image", "gaussian_ot")


def statistics_of(
    name: str, texts: Vectors, images: Vectors | None, cuts: list[int], seed: int = 0
) -> TransferStatistics:
    """Computed as the stage does it: partition by partition."""
    parts = np.split(texts, sorted(min(cut, len(texts)) for cut in cuts))
    text = Moments.merged([Moments.of(part) for part in parts], texts.shape[1])
    image = Covariance.of(images) if images is not None else None
    size = TRANSFERS.get(name).num_image_vectors
    vectors = Sample.of(images, size) if images is not None and size else None
    statistics = TransferStatistics(text, image, None, seed, vectors)
    if first_pass := TRANSFERS.get(name).first_pass:
        one = first_pass.fit(statistics)
        statistics = replace(statistics, first=one.result.merged(one.measure(part) for part in parts if len(part)))
    return statistics


def fitted(name: str, texts: Vectors, images: Vectors | None, cuts: list[int] = [], seed: int = 0) -> Transfer:  # noqa: B006
    return fit(name, statistics_of(name, texts, images, cuts, seed))


def ids_of(texts: Vectors) -> list[str]:
    return [f"{row:024x}" for row in range(len(texts))]


def applied(transfer: Transfer, texts: Vectors, cuts: list[int]) -> Vectors:
    """Applied partition by partition."""
    rows = np.split(np.arange(len(texts)), sorted(min(cut, len(texts)) for cut in cuts))
    ids = ids_of(texts)
    return np.concatenate([transfer.apply_text(texts[part], [ids[row] for row in part]) for part in rows])


SHAPES = {
    "number": st.integers(20, 700),
    "dim": st.integers(8, 96),
    "seed": st.integers(0, 99),
    "cone": st.sampled_from([0.0, 0.5, 2.0]),
    "cuts": st.lists(st.integers(0, 700), max_size=5),
}


@pytest.mark.parametrize("formula", formulas.WITHOUT_NOISE, ids=lambda formula: formula.__name__)
@given(**SHAPES)  # type: ignore[arg-type]
def test_a_transfer_is_its_formula_with_any_sharding(
    formula: object, number: int, dim: int, seed: int, cone: float, cuts: list[int]
) -> None:
    texts, images = units(number, dim, seed, cone=cone), units(300, dim, seed + 1000, cone=-0.4)
    name = formula.__name__  # type: ignore[attr-defined]
    moved = applied(fitted(name, texts, images, cuts), texts, cuts[::-1])
    assert moved.dtype == np.float32
    exact = formula(texts.astype(np.float64), images.astype(np.float64))  # type: ignore[operator]
    np.testing.assert_allclose(moved, exact, rtol=0, atol=1e-6)


@given(**SHAPES)  # type: ignore[arg-type]
def test_c3_is_its_formula_and_its_noise_is_the_rows(
    number: int, dim: int, seed: int, cone: float, cuts: list[int]
) -> None:
    texts = units(number, dim, seed, cone=cone)
    transfer = fitted("c3", texts, None, cuts, seed)
    moved = applied(transfer, texts, cuts)
    np.testing.assert_allclose(moved, formulas.c3(texts.astype(np.float64), ids_of(texts), seed), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(moved, applied(transfer, texts, []))
    backwards = transfer.apply_text(texts[::-1], ids_of(texts)[::-1])[::-1]
    np.testing.assert_array_equal(moved, backwards)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_moved_to_the_same_bits_whatever_its_neighbours(name: str) -> None:
    """`validate` compares the vectors of a caption in both configs."""
    texts, images = units(400, 384), units(300, 384, 3)
    transfer, ids = fitted(name, texts, images), ids_of(texts)
    moved = transfer.apply_text(texts, ids)
    for start, end in ((0, 1), (7, 8), (399, 400), (3, 5), (11, 100), (228, 400)):
        np.testing.assert_array_equal(transfer.apply_text(texts[start:end], ids[start:end]), moved[start:end])


def test_c3s_noise_is_of_the_stated_size_and_of_the_seed() -> None:
    texts = units(400, 64)
    transfer = fitted("c3", texts, None)
    noise = np.stack([transfer.noise(row_id, 64) for row_id in ids_of(texts)])  # type: ignore[attr-defined]
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)
    other = fitted("c3", texts, None, seed=1)
    assert not np.array_equal(transfer.apply_text(texts, ids_of(texts)), other.apply_text(texts, ids_of(texts)))
    with pytest.raises(InputError, match="the noise of a row with its id"):
        transfer.apply_text(texts)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_moved_has_unit_norm_and_the_argument_stays(name: str) -> None:
    texts, images = units(500, 64), units(300, 64, 7)
    before = texts.copy()
    moved = fitted(name, texts, images).apply_text(texts, ids_of(texts))
    np.testing.assert_array_equal(texts, before)
    if TRANSFERS.get(name).unit_norm:
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    half = texts.astype(np.float16)
    np.testing.assert_allclose(
        fitted(name, half, images).apply_text(half, ids_of(half)), moved, atol=5e-3
    )  # float16's own digits


def test_a_mean_shift_leaves_no_mean_direction() -> None:
    texts = units(5000, 64)
    assert np.linalg.norm(texts.mean(axis=0)) > 0.5
    assert np.linalg.norm(fitted("mean_shift", texts, None).apply_text(texts).mean(axis=0)) < 0.05


@pytest.mark.parametrize("name", [name for name in NEED_IMAGES if TRANSFERS.get(name).image_formula == "x"])
def test_what_goes_to_the_image_side_gets_there(name: str) -> None:
    texts, images = units(3000, 64), units(3000, 64, 7, cone=-0.5)
    moved = fitted(name, texts, images).apply_text(texts)
    gap = np.linalg.norm(texts.mean(axis=0) - images.mean(axis=0))
    assert np.linalg.norm(moved.mean(axis=0) - images.mean(axis=0)) < 0.1 * gap


def test_a_dimension_in_which_no_text_differs_is_not_stretched() -> None:
    texts, images = units(200, 8), units(200, 8, 1)
    texts[:, 3] = 0
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    assert np.isfinite(fitted("per_dimension", texts, images).apply_text(texts)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_texts_that_are_all_equal_are_refused(name: str, number: int) -> None:
    texts, images = np.repeat(units(1, 8), number, axis=0), units(20, 8, 1)
    with pytest.raises(InputError) as caught:
        fitted(name, texts, images)
    assert f"{number} vectors" in caught.value.message
    assert "--transfer none" in caught.value.advice


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, "mean"])
def test_a_row_that_cannot_be_moved_is_named(name: str, bad: float | str) -> None:
    texts, images = units(2000, 300), units(20, 300, 1)
    transfer = fitted(name, texts, images)
    texts[1500] = texts.astype(np.float64).mean(axis=0) if bad == "mean" else bad
    if bad in (0.0, "mean") and name not in ("mean_shift", "mean_shift_raw"):
        return  # Another vector is added, so something is left.
    if bad == 0.0:
        return  # The mean taken from zero is a direction; the step's statistics refuse such a row before.
    with pytest.raises(RowError, match="row 1500: the vector has no direction"):
        transfer.apply_text(texts, ids_of(texts))


@pytest.mark.parametrize("name", NEED_IMAGES)
def test_images_that_are_missing_or_do_not_fit_are_refused(name: str) -> None:
    text = Moments.of(units(9, 4))
    mean = SetMean(9, text.mean)
    with pytest.raises(InputError, match="needs image statistics"):
        TRANSFERS.get(name).fit(TransferStatistics(text, None, mean))
    with pytest.raises(InputError, match="have 5 dimensions, the text vectors have 4"):
        TRANSFERS.get(name).fit(TransferStatistics(text, Moments.of(units(9, 5)), mean))


@pytest.mark.parametrize("name", NAMES)
def test_rows_in_memory_are_fitted_in_one_call(name: str) -> None:
    texts, images = units(200, 16), units(100, 16, 3)
    found = fit_to_rows(name, texts, images).apply_text(texts, ids_of(texts))
    np.testing.assert_allclose(found, fitted(name, texts, images).apply_text(texts, ids_of(texts)), atol=1e-6)


# -- the consumer's side -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("known", [True, False])
def test_images_move_as_at_inference(name: str, known: bool) -> None:
    if not known and name in NEED_IMAGES:
        return
    texts, images, more = units(50, 8), units(30, 8, 3, cone=-0.4), units(70, 8, 4, cone=-0.4)
    moved = fitted(name, texts, more if known else None).apply_image(images)
    exact = images.astype(np.float64)
    mean = (more if known else images).astype(np.float64).mean(axis=0)
    shifted = formulas.n(exact - mean)
    expected = dict.fromkeys(("mean_shift", "c3", "gaussian_ot", "barycentric"), shifted)
    expected["mean_shift_raw"] = exact - mean
    np.testing.assert_allclose(moved, expected.get(name, exact), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_arrays_and_tensors_come_back_as_they_went(name: str, dtype: str) -> None:
    import torch

    transfer = fitted(name, units(50, 8), units(30, 8, 3))
    images = units(24, 8, 5).reshape(2, 12, 8)
    tensor = torch.from_numpy(images).to(getattr(torch, dtype))
    moved = transfer.apply_image(tensor)
    assert (moved.dtype, moved.shape, moved.device) == (tensor.dtype, tensor.shape, tensor.device)
    if dtype != "bfloat16":
        array = images.astype(dtype)
        again = transfer.apply_image(array)
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        np.testing.assert_allclose(moved.numpy(), again, atol=1e-3 if dtype == "float16" else 1e-6)
    if name != "none":
        np.testing.assert_allclose(moved.double().numpy(), transfer.apply_image(images), atol=2e-2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_half_floats_are_the_single_ones_rounded(name: str, stored: str) -> None:
    texts, images = units(300, 1280).astype(stored), units(30, 1280, 3)
    transfer = fitted(name, texts, images)
    single, half = (transfer.apply_text(texts, ids_of(texts), dtype) for dtype in ("float32", "float16"))
    assert (single.dtype, half.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(half, single.astype(np.float16))


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_images_are_moved_as_on_the_cpu(name: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    transfer, images = fitted(name, units(50, 8), units(30, 8, 3)), units(24, 8, 5)
    moved = transfer.apply_image(torch.from_numpy(images).cuda())
    assert moved.device.type == "cuda"
    np.testing.assert_allclose(moved.cpu().numpy(), transfer.apply_image(images), atol=1e-6)


def test_gradients_pass_through() -> None:
    import torch

    images = torch.from_numpy(units(4, 8)).requires_grad_()
    fitted("mean_shift", units(50, 8), units(30, 8, 3)).apply_image(images).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


def test_one_image_needs_a_mean_that_is_known() -> None:
    transfer, images = fitted("mean_shift", units(50, 8), None), units(3, 8)
    for one in (images[0], images[:1]):
        with pytest.raises(InputError, match="a single image is its own mean"):
            transfer.apply_image(one)
    known = fitted("mean_shift", units(50, 8), units(30, 8, 3))
    np.testing.assert_allclose(known.apply_image(images[0]), known.apply_image(images)[0], atol=1e-7)
    with pytest.raises(InputError, match="the images have 7 dimensions, the transfer has 8"):
        known.apply_image(images[:, :7])
    with pytest.raises(InputError, match="the images have 7 dimensions, the transfer has 8"):
        transfer.apply_image(images[:, :7])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_image_without_a_direction_is_named(bad: float) -> None:
    import torch

    images = units(9, 8)
    images[4, 0] = bad
    transfer = MeanShift(np.zeros(8), np.zeros(8))
    for kind in (images, torch.from_numpy(images)):
        with pytest.raises(RowError, match="row 4"):
            transfer.apply_image(kind)


def test_every_transfer_says_what_it_is() -> None:
    for name in NAMES:
        transfer = TRANSFERS.get(name)
        assert transfer.__doc__
        assert transfer.__doc__.startswith(f"`{name}`: ")
        assert "v = " in transfer.formula
        assert TRANSFERS.get(transfer.fallback).needs_images is False


# -- back from a set's vectors to the encoder's ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAN_BE_UNDONE)
@given(seed=st.integers(0, 99), cone=st.sampled_from([0.0, 0.5, 2.0]), dim=st.integers(8, 96))
def test_what_can_be_undone(name: str, seed: int, cone: float, dim: int) -> None:
    texts, images = units(200, dim, seed, cone=cone), units(100, dim, seed + 1000, cone=cone / 2)
    transfer = fitted(name, texts, images)
    found = transfer.recovered(transfer.apply_text(texts, dtype="float16").astype(np.float64))
    assert found is not None
    np.testing.assert_allclose(found, texts, rtol=0, atol=2e-3)


def test_a_centre_outside_of_the_sphere_has_two_answers_and_gives_none() -> None:
    texts, images = units(200, 16, 0, cone=3.0), units(200, 16, 1, cone=-3.0)
    transfer = fitted("mean_shift_to_image", texts, images)
    assert transfer.recovered(transfer.apply_text(texts).astype(np.float64)) is None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CAN_BE_UNDONE])
def test_what_cannot(name: str) -> None:
    texts, images = units(100, 16, 0), units(100, 16, 1)
    transfer = fitted(name, texts, images)
    assert transfer.recovered(transfer.apply_text(texts, ids_of(texts)).astype(np.float64)) is None
