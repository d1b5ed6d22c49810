"""Hashed words as vectors: unit, deterministic, near for texts that share words."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.encoders.hashing import HashingEncoder

TEXTS = ["a brown dog on a lawn", "a brown dog on a beach", "seven silver keys", "", "!?", "一只猫"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6), st.integers(1, 80))
def test_every_text_is_a_unit_vector_whatever_the_size(texts: list[str], dim: int) -> None:
    vectors = HashingEncoder(dim).encode(texts).vectors
    assert vectors.shape == (len(texts), dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
def test_a_text_has_its_vector_whatever_stands_beside_it(texts: list[str]) -> None:
    encoder = HashingEncoder(32)
    alone = [encoder.encode([text]).vectors[0] for text in texts]
    np.testing.assert_array_equal(encoder.encode(texts).vectors, np.array(alone, dtype=np.float32).reshape(-1, 32))


def test_texts_that_share_words_are_near_each_other() -> None:
    lawn, beach, keys = HashingEncoder(512).encode(TEXTS[:3]).vectors
    assert lawn @ beach > 0.6
    assert abs(lawn @ keys) < 0.3


def test_case_and_punctuation_do_not_matter_and_words_do() -> None:
    one, same, other = HashingEncoder(64).encode(["A brown dog.", "a BROWN, dog", "a brown cow"]).vectors
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_there_is_a_mean_for_the_transfer_to_take_away() -> None:
    vectors = HashingEncoder(256).encode([f"word{index} thing{index} place{index}" for index in range(2000)]).vectors
    mean = vectors.mean(axis=0)
    assert mean[0] > 0.05
    assert np.abs(mean[1:]).max() < mean[0] / 2


def test_another_process_gives_the_same_vectors() -> None:
    code = (
        "from unicorn_hf.encoders.hashing import HashingEncoder;"
        f"print(HashingEncoder(16).encode({TEXTS!r}).vectors.tobytes().hex())"
    )
    there = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "5"},
    )
    assert there.stdout.strip() == HashingEncoder(16).encode(TEXTS).vectors.tobytes().hex()


@pytest.mark.parametrize("dim", [1, 7, 512])
def test_it_says_its_size_and_reads_texts_of_any_length(dim: int) -> None:
    encoder = HashingEncoder(dim)
    assert encoder.dim == dim
    told: list[int] = []
    assert encoder.encode(["word " * 10_000], told.append).num_long == 0
    assert told == [1]
    encoder.close()
