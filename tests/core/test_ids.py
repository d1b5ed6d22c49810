"""Ids and choices depend on what a row is made of and on nothing else."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.ids import caption_id, stable_fraction, stable_int

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


def test_ids_never_change_between_releases() -> None:
    """Published sets join on them."""
    assert caption_id("a dog", "caption-v1", 0) == "3a4d8ff2d6a0d5596c0524bf"
    assert stable_int("a", "b") == 1273454509074542993


@given(TEXT, TEXT, st.integers(0, 99), TEXT, TEXT, st.integers(0, 99))
def test_captions_share_an_id_only_if_they_share_everything(
    seed: str, prompt: str, sample: int, seed_2: str, prompt_2: str, sample_2: int
) -> None:
    one, other = caption_id(seed, prompt, sample), caption_id(seed_2, prompt_2, sample_2)
    assert (one == other) == ((seed, prompt, sample) == (seed_2, prompt_2, sample_2))
    assert len(one) == 24
    assert int(one, 16) >= 0


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_parts_do_not_run_into_each_other(one: list[str], other: list[str]) -> None:
    assert (stable_int(*one) == stable_int(*other)) == (one == other)


@given(st.lists(TEXT, max_size=3), st.integers(1, 63))
def test_integers_keep_within_their_bits(parts: list[str], bits: int) -> None:
    assert 0 <= stable_int(*parts, bits=bits) < 2**bits
    assert stable_int(*parts, bits=bits) == stable_int(*parts) >> (63 - bits)


@given(st.lists(TEXT, max_size=3))
def test_fractions_are_from_0_to_below_1(parts: list[str]) -> None:
    assert 0 <= stable_fraction(*parts) < 1


def test_integers_and_fractions_are_uniform() -> None:
    number = 20_000
    eighths = Counter(int(stable_fraction("uniform", str(index)) * 8) for index in range(number))
    remainders = Counter(stable_int("uniform", str(index)) % 8 for index in range(number))
    for counts in (eighths, remainders):
        assert all(abs(counts[part] / number - 1 / 8) < 0.01 for part in range(8))
