"""Numbers copied into another type: the same bits with torch and without."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unicorn_hf.representations import rows
from unicorn_hf.representations.rows import copy_numbers

HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)


def copied(source: np.ndarray, dtype: str) -> np.ndarray:
    target = np.empty(source.shape, dtype=dtype)
    copy_numbers(source, target)
    return target


def test_every_half_is_read_as_numpy_reads_it() -> None:
    assert "torch" in sys.modules
    np.testing.assert_array_equal(copied(HALVES, "float32"), HALVES.astype(np.float32))
    np.testing.assert_array_equal(copied(HALVES, "float64"), HALVES.astype(np.float64))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_blocks_hold_each_row_once_in_order(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 4 * 7 * 3)
    vectors = np.random.default_rng(0).standard_normal((20, 7)).astype(dtype)
    found = [(start, block.copy()) for start, block in rows.exact_blocks(vectors)]
    assert [start for start, _ in found] == list(range(0, 20, 3))
    np.testing.assert_array_equal(np.concatenate([block for _, block in found]), vectors.astype(np.float64))


@given(arrays.arrays(np.uint32, (4, 64)))
def test_any_single_is_rounded_to_the_half_that_numpy_takes(bits: np.ndarray) -> None:
    singles = bits.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(copied(singles, "float16"), singles.astype(np.float16))


@given(st.integers(0, 2**16 - 2), st.sampled_from([0.25, 0.5, 0.75]))
def test_numbers_between_two_halves_are_rounded_to_the_even_one(number: int, part: float) -> None:
    one, other = (np.array(bits, dtype=np.uint16).view(np.float16).astype(np.float64) for bits in (number, number + 1))
    if np.isfinite(one) and np.isfinite(other):
        between = np.array([[one + part * (other - one)]]).astype(np.float32)
        assert copied(between, "float16").tobytes() == between.astype(np.float16).tobytes()


def test_a_mapped_file_is_read_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_warned", False)
    source = HALVES.copy()
    source.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(copied(source, "float32"), HALVES.astype(np.float32))


def test_torch_is_not_imported_for_it() -> None:
    code = (
        "import sys, numpy as np\n"
        "from unicorn_hf.representations.rows import copy_numbers\n"
        "target = np.empty((2, 3), np.float16)\n"
        "copy_numbers(np.full((2, 3), 1.0001, np.float32), target)\n"
        "print('torch' in sys.modules, target.tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]"


def test_torch_rounds_as_it_does_here() -> None:
    """What `copy_numbers` relies on, for numbers from all over."""
    singles = np.arange(0, 2**32, 65_521, dtype=np.uint64).astype(np.uint32).view(np.float32)
    singles = singles[~np.isnan(singles)]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(torch.from_numpy(singles).half().numpy(), singles.astype(np.float16))
