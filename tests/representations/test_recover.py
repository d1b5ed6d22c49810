"""The encoder's vectors come back from a set's, where the transfer can be undone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.representations.test_moments import units
from tests.representations.test_transfers import NAMES, fitted, ids_of
from unicorn_hf.core.recipe import TransferName
from unicorn_hf.representations.recover import recovered

CAN_BE_UNDONE = ("none", "mean_shift", "mean_shift_raw", "mean_shift_to_image")


@pytest.mark.parametrize("name", CAN_BE_UNDONE)
@given(seed=st.integers(0, 99), cone=st.sampled_from([0.0, 0.5, 2.0]), dim=st.integers(8, 96))
def test_what_can_be_undone(name: TransferName, seed: int, cone: float, dim: int) -> None:
    texts, images = units(200, dim, seed, cone=cone), units(100, dim, seed + 1000, cone=cone / 2)
    transfer = fitted(name, texts, images)
    moved = transfer.apply_text(texts, dtype="float16").astype(np.float64)
    found = recovered(transfer, moved)
    assert found is not None
    np.testing.assert_allclose(found, texts, rtol=0, atol=2e-3)


def test_a_centre_outside_of_the_sphere_has_two_answers_and_gives_none() -> None:
    texts, images = units(200, 16, 0, cone=3.0), units(200, 16, 1, cone=-3.0)
    transfer = fitted("mean_shift_to_image", texts, images)
    assert recovered(transfer, transfer.apply_text(texts).astype(np.float64)) is None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CAN_BE_UNDONE])
def test_what_cannot(name: TransferName) -> None:
    texts, images = units(100, 16, 0), units(100, 16, 1)
    transfer = fitted(name, texts, images)
    assert recovered(transfer, transfer.apply_text(texts, ids_of(texts)).astype(np.float64)) is None
