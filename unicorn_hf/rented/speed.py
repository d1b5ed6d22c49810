"""The time of requests on a GPU, calculated from the model's sizes and the GPU's data sheet.

vLLM decodes in steps: each writes a token of every request in flight. A step multiplies the tokens with the weights,
which takes the longer of the operations and of reading the weights, and then reads the KV cache of all requests.
Prompts are computed beside it, without the prefix that the cache holds. Meanwhile the host prepares prompts and handles
each token; if that takes longer, the GPU waits.

The efficiencies are fitted to an NVIDIA H100 80GB HBM3 (copy 3.0 TB/s): prompts of 146 tokens of which 109 are a shared
prefix, 80 tokens written, 512 requests in flight. See docs/hardware.md for the measurements.
"""

import math
from dataclasses import dataclass, replace

from unicorn_hf.engines.vllm import VllmEngine
from unicorn_hf.rented.hardware import Gpu
from unicorn_hf.rented.shapes import Shape

WITHIN = 2.0
"""The factor within which the measured times lie; a third GPU, model or host may differ as much."""
_OF_BANDWIDTH = 0.9
"""Measured: a copy moves 3.0 of 3.35 TB/s."""
_OF_FLOPS = 0.62
"""Fitted to 21,600 tokens per second of a 7 B model with the prefix cached, and 13,600 without."""
_OF_TWICE_THE_GPUS = 0.85
"""Assumed: the gain of tensor parallelism for each doubling, for the exchange between GPUs."""
_REQUEST_S, _TOKEN_S = 0.4e-3, 20e-6
"""The host's time for a prompt and for a token written; fitted to 40,300 tokens per second of SmolLM2-135M, and 50,800
if the prompts are tokenised before."""
_GUIDED_TOKEN_S = 100e-6
"""The same for a token under a JSON grammar: it cost SmolLM2-135M two to five times the throughput."""
_BLOCK_TOKENS = 16
"""vLLM caches prefixes in whole blocks."""
_WORK_BYTES = 1.5e9
"""Assumed: memory of activations and CUDA graphs on each GPU."""
_ENCODER_OF_FLOPS = 0.4
_GROUPS = (2, 4, 8, 16, 32)
"""Numbers of GPUs that are suggested for a model."""
_LEAST_CONTEXT = 512
_SMALLER = "use a smaller or quantised model"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one kind; the token counts are means."""

    num_requests: float
    prompt_tokens: float
    shared_tokens: float
    """Tokens of the prompt that it shares with earlier ones, from its beginning."""
    output_tokens: float
    guided_share: float = 0.0
    """The share of the output tokens that a JSON grammar restricts."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A model on a group of GPUs, as vLLM would run it."""

    shape: Shape
    gpu: Gpu
    settings: VllmEngine

    @property
    def num_gpus(self) -> int:
        return self.settings.tensor_parallel_size

    @property
    def max_tokens(self) -> int:
        return self.settings.max_model_len or self.shape.max_tokens

    @property
    def room_tokens(self) -> float:
        """Tokens that fit into the KV cache; negative if the weights do not fit."""
        of_gpu = self.gpu.num_bytes * self.settings.gpu_memory_utilization - _WORK_BYTES
        # With more GPUs than KV heads, each head is kept several times.
        copies = max(1.0, self.num_gpus / self.shape.num_kv_heads)
        return (of_gpu * self.num_gpus - self.shape.num_bytes) / (self.shape.num_kv_bytes * copies)

    @property
    def fits(self) -> bool:
        """Whether vLLM starts: weights and the longest request fit."""
        return self.room_tokens >= max(self.max_tokens, 1)

    def num_in_flight(self, load: Load) -> float:
        """Requests that are decoded at once: as many as the settings allow and the KV cache holds."""
        own = load.prompt_tokens - _cached(load) + load.output_tokens
        return max(1.0, min(self.settings.max_num_seqs, load.num_requests, self.room_tokens / max(own, 1.0)))

    def seconds(self, load: Load) -> float:
        """The time of all requests."""
        if not load.num_requests:
            return 0.0
        scale = self.num_gpus * math.pow(_OF_TWICE_THE_GPUS, math.log2(self.num_gpus))
        flops, bandwidth = self.gpu.flops * _OF_FLOPS * scale, self.gpu.bandwidth * _OF_BANDWIDTH * scale
        token_s = 2 * self.shape.num_active / flops
        in_flight = self.num_in_flight(load)
        context = load.prompt_tokens + load.output_tokens / 2
        step_s = max(in_flight * token_s, self.shape.num_read_bytes / bandwidth)
        step_s += in_flight * context * self.shape.num_kv_bytes / bandwidth
        on_gpu = load.output_tokens * step_s / in_flight + (load.prompt_tokens - _cached(load)) * token_s
        host_token_s = load.guided_share * _GUIDED_TOKEN_S + (1 - load.guided_share) * _TOKEN_S
        return load.num_requests * max(on_gpu, _REQUEST_S + load.output_tokens * host_token_s)

    def problem(self) -> tuple[str, str] | None:
        """Why vLLM would not start, and what to do; None if it would."""
        if self.shape.num_heads % self.num_gpus:
            heads = f"{self.shape.num_heads} attention heads cannot be divided between {self.num_gpus} GPUs"
            return heads, "--set engine.tensor_parallel_size=1"
        if (room := self.room_tokens) < _LEAST_CONTEXT:
            size = f"the weights take {self.shape.num_bytes / 1e9:,.1f} GB"
            has = f"{self.num_gpus} × {self.gpu.name} has {self.num_gpus * self.gpu.num_bytes / 1e9:,.0f}"
            fitting = self._fitting()
            advice = f"{fitting} GPUs fit: --set engine.tensor_parallel_size={fitting}" if fitting else _SMALLER
            return f"{size}, {has}", advice
        if not self.fits:
            shorter = 2 ** math.floor(math.log2(room))
            message = f"the KV cache has room for {room:,.0f} tokens, but a request may have {self.max_tokens:,}"
            return message, f"--set engine.max_model_len={shorter}"
        if self.settings.dtype == "bfloat16" and not self.gpu.has_bfloat16:
            return f"a {self.gpu.name} has no bfloat16", "--set engine.dtype=float16"
        return None

    def _fitting(self) -> int | None:
        """The smallest number of GPUs on which it starts, if need be with a shorter context."""
        for size in _GROUPS:
            larger = replace(self, settings=self.settings.model_copy(update={"tensor_parallel_size": size}))
            if self.shape.num_heads % size == 0 and larger.room_tokens >= _LEAST_CONTEXT:
                return size
        return None


def encoding_seconds(shape: Shape, gpu: Gpu, num_tokens: float) -> float:
    """The time of an encoder on one GPU: two operations for each parameter and token, at 40 % of the data sheet."""
    return 2 * shape.num_in_layers * num_tokens / (gpu.flops * _ENCODER_OF_FLOPS)


def _cached(load: Load) -> float:
    return load.shared_tokens // _BLOCK_TOKENS * _BLOCK_TOKENS
