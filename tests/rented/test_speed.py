"""The calculated times against measured ones, and what must hold for any model and GPU."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rented.configs import QWEN_7B, QWEN_7B_AWQ, QWEN_72B, SEVEN, SMALL
from unicorn_hf.engines import VllmEngine
from unicorn_hf.rented.hardware import GPUS
from unicorn_hf.rented.shapes import Shape
from unicorn_hf.rented.speed import WITHIN, Engine, Load, encoding_seconds

MEASURED = [
    ("7 B, prefix cached", SEVEN, Load(2048, 146, 109, 80), 21_600),
    ("7 B, no prefix", SEVEN, Load(2048, 146, 0, 80), 13_600),
    ("SmolLM2-135M", SMALL, Load(4096, 146, 109, 80), 40_300),
    ("SmolLM2-135M, no prefix", SMALL, Load(4096, 146, 0, 80), 39_300),
]
"""Output tokens per second on an NVIDIA H100 80GB HBM3, 512 requests in flight; see docs/hardware.md."""
GRAMMAR = (5_700, 15_400)
"""SmolLM2-135M under a JSON grammar: a fifth to a half of 30,900."""

positive = st.floats(1.0, 4.0)
loads = st.builds(
    Load,
    num_requests=st.floats(1, 1e6),
    prompt_tokens=st.floats(200, 2000),
    shared_tokens=st.floats(0, 200),
    output_tokens=st.floats(1, 2000),
    guided_share=st.floats(0, 1),
)
engines = st.builds(
    lambda config, gpu, size: engine(config, gpu, tensor_parallel_size=size, max_model_len=4096),
    st.sampled_from([SMALL, QWEN_7B, QWEN_7B_AWQ, QWEN_72B]),
    st.sampled_from(sorted(GPUS)),
    st.sampled_from([1, 2, 4]),
).filter(lambda found: found.fits)


def engine(config: dict[str, Any], gpu: str, **settings: Any) -> Engine:
    return Engine(Shape.of(config), GPUS[gpu], VllmEngine(model="m", **{"max_num_seqs": 512, **settings}))


def rate(found: Engine, load: Load) -> float:
    return load.num_requests * load.output_tokens / found.seconds(load)


@pytest.mark.parametrize(("config", "load", "tokens_per_s"), [case[1:] for case in MEASURED])
def test_measured_rates_are_met(config: dict[str, Any], load: Load, tokens_per_s: float) -> None:
    found = rate(engine(config, "H100"), load)
    assert found == pytest.approx(tokens_per_s, rel=0.1)
    assert tokens_per_s / WITHIN < found < tokens_per_s * WITHIN


def test_a_grammar_costs_a_small_model_what_was_measured() -> None:
    found = rate(engine(SMALL, "H100"), Load(4096, 146, 109, 80, guided_share=1))
    for measured in GRAMMAR:
        assert measured / WITHIN < found < measured * WITHIN


@given(engines, loads, positive)
def test_a_better_gpu_is_never_slower(found: Engine, load: Load, factor: float) -> None:
    seconds = found.seconds(load)
    for name in ("num_bytes", "bandwidth", "flops"):
        better = replace(found.gpu, **{name: getattr(found.gpu, name) * factor})
        assert replace(found, gpu=better).seconds(load) <= seconds * (1 + 1e-9), name


@given(engines, loads, positive)
def test_more_work_is_never_faster(found: Engine, load: Load, factor: float) -> None:
    seconds = found.seconds(load)
    assert found.seconds(replace(load, num_requests=load.num_requests * factor)) >= seconds
    assert found.seconds(replace(load, output_tokens=load.output_tokens * factor)) >= seconds
    assert found.seconds(replace(load, shared_tokens=0)) >= seconds


@given(engines, loads)
def test_the_batch_is_within_the_memory_and_the_settings(found: Engine, load: Load) -> None:
    in_flight = found.num_in_flight(load)
    assert 1 <= in_flight <= 512
    assert in_flight * load.output_tokens <= max(found.room_tokens, load.output_tokens)


def test_memory_bounds_the_batch() -> None:
    load = Load(10_000, 300, 0, 150)
    assert engine(QWEN_7B_AWQ, "T4", max_model_len=4096).num_in_flight(load) < 512
    assert engine(QWEN_7B_AWQ, "H100", max_model_len=4096).num_in_flight(load) == 512
    assert engine(QWEN_7B_AWQ, "H100", max_model_len=4096, max_num_seqs=64).num_in_flight(load) == 64


def test_a_model_that_does_not_fit_is_refused_with_the_number_of_gpus_that_fit() -> None:
    refused = engine(QWEN_7B, "T4", dtype="float16", max_model_len=4096).problem()
    assert refused == ("the weights take 15.2 GB, 1 × T4 has 16", "2 GPUs fit: --set engine.tensor_parallel_size=2")
    assert engine(QWEN_7B, "T4", max_model_len=4096, tensor_parallel_size=2).problem() is None
    assert engine(QWEN_7B_AWQ, "T4", max_model_len=4096).problem() is None
    _, advice = engine(QWEN_72B, "A100-80GB", max_model_len=4096).problem() or ("", "")
    assert "tensor_parallel_size=4" in advice


def test_a_context_that_does_not_fit_is_refused_with_one_that_does() -> None:
    message, advice = engine(QWEN_7B, "L4", max_model_len=131_072).problem() or ("", "")
    assert "131,072" in message
    shorter = int(advice.partition("max_model_len=")[2])
    assert engine(QWEN_7B, "L4", max_model_len=shorter).problem() is None
    assert engine(QWEN_7B, "L4", max_model_len=4 * shorter).problem() is not None


def test_what_vllm_refuses_is_refused() -> None:
    assert "bfloat16" in (engine(SMALL, "T4", dtype="bfloat16").problem() or ("",))[0]
    assert "cannot be divided" in (engine(QWEN_7B, "H100", tensor_parallel_size=8).problem() or ("",))[0]


def test_quantised_weights_leave_more_room_and_are_read_faster() -> None:
    load = Load(16, 300, 0, 150)
    whole, quantised = engine(QWEN_7B, "L4", max_model_len=4096), engine(QWEN_7B_AWQ, "L4", max_model_len=4096)
    assert quantised.room_tokens > 2 * whole.room_tokens
    assert quantised.seconds(load) < 0.6 * whole.seconds(load)


def test_the_encoder_takes_what_the_page_about_hardware_says() -> None:
    llama = Shape.of(SEVEN | {"vocab_size": 128256})
    hours = encoding_seconds(llama, GPUS["A100-80GB"], 1.24e6 * 175) / 3600
    assert hours == pytest.approx(7, abs=1)
