"""The sizes of models are those that their authors give."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rented.configs import (
    CLIP,
    GEMMA_9B,
    MIXTRAL,
    QWEN_7B,
    QWEN_7B_AWQ,
    QWEN_30B_MIXTURE,
    QWEN_72B,
    SEVEN,
    SMALL,
)
from unicorn_hf import InputError
from unicorn_hf.rented.shapes import Shape

BILLION = 1e9


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(QWEN_7B, 7.62), (QWEN_72B, 72.7), (SMALL, 0.1345), (GEMMA_9B, 9.24), (QWEN_30B_MIXTURE, 30.5), (MIXTRAL, 46.7)],
)
def test_parameters(config: dict[str, Any], parameters: float) -> None:
    assert Shape.of(config).num_parameters == pytest.approx(parameters * BILLION, rel=0.01)


@pytest.mark.parametrize(("config", "active"), [(QWEN_30B_MIXTURE, 3.3), (MIXTRAL, 12.9)])
def test_a_mixture_computes_with_the_chosen_experts(config: dict[str, Any], active: float) -> None:
    assert Shape.of(config).num_active == pytest.approx(active * BILLION, rel=0.1)


def test_bytes() -> None:
    whole, quantised = Shape.of(QWEN_7B), Shape.of(QWEN_7B_AWQ)
    assert whole.num_bytes == pytest.approx(15.2 * BILLION, rel=0.01)
    # As the repository Qwen/Qwen2.5-7B-Instruct-AWQ has them.
    assert quantised.num_bytes == pytest.approx(5.57 * BILLION, rel=0.05)
    assert Shape.of(QWEN_7B, "float32").num_bytes == 2 * whole.num_bytes
    assert whole.num_kv_bytes == 2 * 28 * 4 * 128 * 2


@pytest.mark.parametrize(
    ("quantised", "bits"),
    [
        ({"quant_method": "gptq", "bits": 8}, 8),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, 8),
        ({"quant_method": "of another world"}, 16),
    ],
)
def test_quantisation(quantised: dict[str, Any], bits: int) -> None:
    # Its embeddings are 0.4 billion parameters of 7.4, and are not quantised; a scale costs a quarter of a bit.
    assert Shape.of(SEVEN | {"quantization_config": quantised}).num_bytes == pytest.approx(
        (7.38 - 0.4) * BILLION * bits / 8 + 0.4 * BILLION * 2, rel=0.06
    )


def test_the_language_model_of_several_parts_counts() -> None:
    shape = Shape.of(CLIP)
    assert shape.num_in_layers == pytest.approx(85e6, rel=0.01)
    assert shape.max_tokens == 77
    assert Shape.of({"vision_config": {"hidden_size": 1}, "text_config": QWEN_7B}) == Shape.of(QWEN_7B)


def test_a_size_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="num_hidden_layers"):
        Shape.of({name: value for name, value in SEVEN.items() if name != "num_hidden_layers"})


@pytest.mark.parametrize("value", [10**400, 2**33, True, -1, 1e9, "4096"])
def test_a_size_that_no_model_has_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="hidden_size"):
        Shape.of(SEVEN | {"hidden_size": value})


@given(
    st.dictionaries(
        st.sampled_from([*SEVEN, "quantization_config", "text_config", "num_experts", "moe_intermediate_size"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.just(10**400) | st.text(),
            lambda inner: st.lists(inner, max_size=3),
        ),
    )
)
def test_any_configuration_is_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        shape = Shape.of(SEVEN | changes)
    except InputError:
        return
    assert 0 < shape.num_bytes < math.inf
    assert 0 < shape.num_kv_bytes < math.inf
