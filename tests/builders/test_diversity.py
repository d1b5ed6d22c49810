"""How varied captions are: against plain counting, and the same however they are cut into parts."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.builders.diversity import NUM_LEAST, Distinct, Diversity
from unicorn_hf.core.words import words

captions = st.lists(st.text(st.sampled_from("ab c."), max_size=12), max_size=12)


def plain(texts: list[str], number: int) -> tuple[int, int]:
    runs = [tuple(found[at : at + number]) for found in map(words, texts) for at in range(len(found) - number + 1)]
    return len(runs), len(set(runs))


@given(captions, st.integers(0, 12))
def test_figures_are_those_of_plain_counting_and_of_any_parts(texts: list[str], cut: int) -> None:
    seeds = ["a b"] * len(texts)
    whole = Diversity.of(texts, seeds)
    for number, distinct in enumerate(whole.runs, start=1):
        assert (distinct.num, distinct.num_distinct) == plain(texts, number)
        assert distinct.is_exact
    parts = [Diversity.of(texts[cut:], seeds[cut:]), Diversity.of(texts[:cut], seeds[:cut])]
    assert Diversity.merged(parts) == whole
    assert Diversity.model_validate_json(whole.model_dump_json()) == whole


def test_means_over_captions() -> None:
    found = Diversity.of(["A red jar, a red lid.", "Two blue jars stand there."], ["a jar", "two jars"])
    assert found.variety.type_token_ratio == pytest.approx((4 / 6 + 5 / 5) / 2, abs=1e-4)
    assert found.variety.added_words == (2 + 2) / 2, "red, lid; blue, stand"
    assert Diversity.of([], []).variety.type_token_ratio == Diversity.of([""], [""]).runs[0].share == 0.0


@pytest.mark.parametrize("number", [NUM_LEAST - 1, 50_000, 400_000])
def test_many_are_estimated_within_the_stated_error(number: int) -> None:
    rng = np.random.default_rng(number)
    hashes = rng.integers(0, 2**64, size=number, dtype=np.uint64)
    parts = [Distinct.of(part) for part in np.array_split(np.concatenate([hashes, hashes]), 7)]
    found = Distinct.merged(parts)
    assert found == Distinct.merged(parts[::-1])
    assert (found.num, len(found.least)) == (2 * number, min(number, NUM_LEAST))
    assert found.num_distinct == pytest.approx(number, rel=0 if found.is_exact else 0.035), "three times the error"


def test_runs_of_words_are_spread_evenly_enough_to_be_estimated() -> None:
    rng = random.Random(0)
    texts = [" ".join(f"w{rng.randrange(3000)}" for _ in range(60)) for _ in range(1500)]
    found = Diversity.of(texts, [""] * len(texts))
    for number, distinct in enumerate(found.runs, start=1):
        assert distinct.num_distinct == pytest.approx(plain(texts, number)[1], rel=0.035)
