"""Fingerprints: the same for the same, different for the different, and none for what has no identity."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.fingerprint import canonical_json, file_sha256, fingerprint
from unicorn_hf.core.recipe import CaptionFilters, Sampling

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_a_fingerprint_is_sixteen_hex_digits_and_the_same_in_every_process() -> None:
    code = "from unicorn_hf.core.fingerprint import fingerprint; print(fingerprint('ä', {'b': 1, 'a': [None, 0.1]}))"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    ).stdout.strip()
    here = fingerprint("ä", {"a": [None, 0.1], "b": 1})
    assert here == there
    assert len(here) == 16
    assert int(here, 16) >= 0


@given(JSON, JSON)
def test_fingerprints_are_equal_exactly_if_the_json_is(one: object, other: object) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_parts_do_not_run_into_each_other(one: list[str], other: list[str]) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        ((["a"], ["b"]), (["a", "b"],)),
        ((1,), ("1",)),
        ((1,), (1.0,)),
        ((1,), (True,)),
        ((None,), ("null",)),
        ((), (None,)),
        (({"a": None},), ({},)),
    ],
)
def test_near_things_differ(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert fingerprint(*one) != fingerprint(*other)


def test_the_order_of_keys_means_nothing_and_that_of_items_something() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint((1, 2)) == fingerprint([1, 2])


def test_a_model_is_fingerprinted_by_its_fields() -> None:
    assert fingerprint(Sampling()) == fingerprint(Sampling(temperature=0.9))
    assert fingerprint(Sampling()) != fingerprint(Sampling(temperature=0.8))
    assert fingerprint({"filters": CaptionFilters()}) == fingerprint({"filters": CaptionFilters(min_words=40)})


@pytest.mark.parametrize(
    "part", [b"bytes", bytearray(b"x"), {1, 2}, Path("a"), object(), 1j, np.float64, np.zeros(2), np.int64(1), print]
)
def test_what_cannot_be_hashed_raises(part: object) -> None:
    for candidate in (part, [part], {"key": part}):
        with pytest.raises(TypeError, match="cannot fingerprint"):
            fingerprint("fine", candidate)


def test_keys_that_are_no_strings_raise() -> None:
    with pytest.raises(TypeError, match="string keys"):
        fingerprint({1: "a"})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_floats_that_are_not_finite_raise(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint(number)


def test_a_file_is_hashed_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
