"""What a model computes and reads for a token, from its configuration. Its weights are not needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.model_source import DEMO, ModelSource, is_path
from unicorn_hf.models.demo_models import demo_llm
from unicorn_hf.models.folders import hub_file

_CONFIGS = ("config.json", "open_clip_config.json")
_MOST = 1 << 32
"""Larger numbers are no sizes of a model, and their products no floats."""
_HALF_BYTES = 2
"""Of a weight in bfloat16 or float16: vLLM loads no other floats with the dtype `auto`."""
_SCALE_BITS = 0.25
"""Of a quantised weight, for scales and zeros: 16 and 4 to 16 bits for a group of 128."""
_UNGATED = ("gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "relu2", "gelu_pytorch_tanh")
"""Activations of feed-forward networks with two matrices; the others have three. Gemma's has three too."""
_BITS = {"fp8": 8, "fbgemm_fp8": 8, "mxfp4": 4, "nvfp4": 4, "modelopt_fp4": 4}
"""By the quantisation's method, where the configuration does not give the number."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a transformer."""

    num_parameters: float
    num_in_layers: float
    """Parameters of the layers that a token is multiplied with: of a mixture, only those of the chosen experts."""
    num_in_head: float
    """Parameters with which a language model computes the next token."""
    num_bytes: float
    """Of all weights in memory."""
    num_read_bytes: float
    """Of the weights that a step of decoding reads."""
    num_kv_bytes: float
    """Of the KV cache, for each token."""
    num_heads: int
    num_kv_heads: int
    max_tokens: int
    """The longest text that it reads."""

    @property
    def num_active(self) -> float:
        """Parameters that a token of a language model is multiplied with."""
        return self.num_in_layers + self.num_in_head

    @classmethod
    def of(cls, config: Mapping[str, Any], dtype: str = "auto") -> "Shape":
        """The shape in a `config.json` of transformers.

        Args:
            config: the configuration; of a model with several parts, its language model counts.
            dtype: `engine.dtype`.

        Raises:
            InputError: it lacks a size.
        """
        text = {**config, **_section(config, "text_config")}
        hidden, layers, heads, vocabulary = (
            _size(text, name) for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
        )
        kv_heads = _number(text, "num_key_value_heads") or heads
        head = _number(text, "head_dim") or max(hidden // heads, 1)
        all_experts, chosen = _feed_forward(text, hidden)
        attention = 2 * hidden * head * (heads + kv_heads)
        embedding = hidden * vocabulary
        ties = bool(text.get("tie_word_embeddings", False))
        float_bytes = 4 if dtype == "float32" else _HALF_BYTES
        block_bytes = layers * (attention + all_experts) * _bytes_per_weight(text, float_bytes)
        return cls(
            num_parameters=layers * (attention + all_experts) + embedding * (1 if ties else 2),
            num_in_layers=layers * (attention + chosen),
            num_in_head=embedding,
            num_bytes=block_bytes + embedding * float_bytes * (1 if ties else 2),
            num_read_bytes=block_bytes + embedding * float_bytes,
            num_kv_bytes=2 * layers * kv_heads * head * float_bytes,
            num_heads=heads,
            num_kv_heads=kv_heads,
            max_tokens=_number(text, "max_position_embeddings", "context_length"),
        )


def language_model(model: str, revision: str | None, dtype: str) -> Shape:
    """The shape of a model in a folder, on the Hub, or of the demonstration.

    Raises:
        InputError: there is no such model, or its configuration cannot be read.
    """
    if model.startswith(DEMO):
        model = str(demo_llm(model.removeprefix(DEMO)))
    path = _config_of(ModelSource(model, revision))
    if path is None:
        raise InputError(
            f"the configuration of the model {model} is neither on this machine nor on the Hub",
            "Name a model of the Hub, or a folder with its config.json: --llm MODEL.",
        )
    try:
        return Shape.of(_read(path), dtype)
    except InputError as error:
        raise InputError(f"the speed of {model} cannot be calculated: {error.message}", error.advice) from error


def text_encoder(encoder: AnyEncoder) -> Shape | None:
    """The shape of the largest model whose text side an encoder uses; None if no configuration is found."""
    shapes = []
    for source in encoder.hub_models():
        path = _config_of(source)
        try:
            shapes += [Shape.of(_text_side(_read(path)))] if path else []
        except InputError:
            continue
    return max(shapes, key=lambda shape: shape.num_in_layers, default=None)


def _config_of(source: ModelSource) -> Path | None:
    folder = Path(source.name).expanduser()
    for name in _CONFIGS:
        if (folder / name).is_file():
            return folder / name
        if not is_path(source.name) and (path := hub_file(source.name, name, source.revision)):
            return path
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise InputError(f"{path} is not a model's configuration")
    return read


def _text_side(config: dict[str, Any]) -> dict[str, Any]:
    """The text tower of open_clip's `open_clip_config.json`, in the words of transformers."""
    tower = _section(_section(config, "model_cfg"), "text_cfg")
    if not tower:
        return config
    names = {"width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads"}
    return {"hidden_act": "gelu", **{names.get(name, name): value for name, value in tower.items()}}


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _number(config: Mapping[str, Any], *names: str) -> int:
    """The first of these values that is a positive integer up to `_MOST`; 0 if there is none."""
    return next((value for name in names if type(value := config.get(name)) is int and 0 < value <= _MOST), 0)


def _size(config: Mapping[str, Any], name: str) -> int:
    if not (value := _number(config, name)):
        raise InputError(f"its configuration gives no {name}")
    return value


def _feed_forward(config: Mapping[str, Any], hidden: int) -> tuple[int, int]:
    """Parameters of a layer's feed-forward network: all, and those of a token."""
    act = config.get("hidden_act") or config.get("hidden_activation")
    gated = act not in _UNGATED or str(config.get("model_type")).startswith("gemma")
    of_inner = (3 if gated else 2) * hidden
    inner = _number(config, "intermediate_size") or 4 * hidden
    experts = _number(config, "num_experts", "num_local_experts", "n_routed_experts")
    if not experts:
        return of_inner * inner, of_inner * inner
    expert = of_inner * (_number(config, "moe_intermediate_size") or inner)
    shared = expert * _number(config, "n_shared_experts")
    shared += of_inner * _number(config, "shared_expert_intermediate_size")
    chosen = _number(config, "num_experts_per_tok", "experts_per_token") or 1
    return experts * expert + shared, chosen * expert + shared


def _bytes_per_weight(config: Mapping[str, Any], float_bytes: int) -> float:
    """Of a weight in the layers; embeddings are not quantised."""
    quantised = _section(config, "quantization_config")
    groups = _section(quantised, "config_groups")
    weights = _section(_section(groups, next(iter(groups), "")), "weights")
    bits = _number(quantised, "bits", "w_bit") or _number(weights, "num_bits")
    bits = bits or _BITS.get(str(quantised.get("quant_method")), 0)
    bits = bits or (4 if quantised.get("load_in_4bit") else 8 if quantised.get("load_in_8bit") else 0)
    return (bits + _SCALE_BITS) / 8 if bits else float_bytes
