"""LLM2CLIP (2411.04997), the paper's encoder, without remote code.

It consists of two repositories. The language model is a Llama with bidirectional attention (LLM2Vec, 2404.05961), tuned
on captions. The CLIP has a vision tower (`vision_model`, `visual_projection`) and the text adapter (`text_adapter`).
The input for a caption is

    <|begin_of_text|> <|start_header_id|> user <|end_header_id|> \\n\\n CAPTION <|eot_id|>

Its vector is computed from h, the mean of the last hidden states over CAPTION and <|eot_id|>: N(h) with N(x) = x / |x|;
then blocks x + W2 gelu(W1 LN(x) + b1) + b2; LN; a linear layer.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unicorn_hf.core.errors import RunError
from unicorn_hf.encoders.llm2clip import Llm2Clip
from unicorn_hf.encoders.towers.tokens import Frame, Tokens, native_contents
from unicorn_hf.encoders.towers.towers import ImageTower, TextTower, device_and_dtype
from unicorn_hf.encoders.towers.transformers_models import load_whole, loading, model_folder

_CONTEXT_LENGTH = 512
_HEADER = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
_END = "<|eot_id|>"
_ADAPTER = "text_adapter."
_NORM_EPS = 1e-5
"""Of torch.nn.LayerNorm."""


def text_tower(spec: Llm2Clip) -> TextTower:
    """The language model and the text adapter.

    Raises:
        InputError: there is no such folder, or transformers is not installed.
        RunError: a model is unavailable, or not of LLM2CLIP's form.
    """
    clip, llm = model_folder(spec.clip), model_folder(spec.llm)
    with loading(f"llm2clip:{spec.clip}+{spec.llm}"):
        import torch
        from transformers import AutoTokenizer, LlamaConfig, LlamaModel

        device, dtype = device_and_dtype()
        adapter = Adapter(_tensors(clip, _ADAPTER), device, dtype)
        config = LlamaConfig.from_pretrained(llm, local_files_only=True)
        model = load_whole(LlamaModel, llm, dtype, config=config, attn_implementation="sdpa").to(device)
        tokenizer = AutoTokenizer.from_pretrained(llm, trust_remote_code=False, local_files_only=True)
        native = native_contents(tokenizer)
        (header,), (end,) = native([_HEADER]), native([_END])
        if len(end) != 1:
            raise RunError(f"the tokenizer of {spec.llm} has no token {_END}: it is not that of Llama 3")
    frame = Frame(_CONTEXT_LENGTH, tuple(header), tuple(end), end[0])

    def features(ids: Any, mask: Any) -> Any:
        # A mask of four dimensions is used unchanged: each token sees all others except padding.
        seen = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        hidden = model(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
        pooled = mask & (torch.arange(mask.shape[1], device=mask.device) >= len(frame.prefix))
        # The sum over 500 tokens exceeds half precision.
        total = (hidden * pooled[..., None]).sum(dim=1, dtype=torch.float32)
        return adapter((total / pooled.sum(dim=1, keepdim=True)).to(dtype))

    return TextTower(features, Tokens(lambda texts: native([text.strip() for text in texts]), frame), device)


def image_tower(spec: Llm2Clip) -> ImageTower:
    """The CLIP's vision tower, with the preprocessing of OpenAI's CLIP, on which it is based.

    Raises:
        InputError: there is no such folder, or transformers is not installed.
        RunError: the model is unavailable, or not of LLM2CLIP's form.
    """
    clip = model_folder(spec.clip)
    with loading(f"llm2clip:{spec.clip}"):
        from transformers import CLIPConfig, CLIPImageProcessor, CLIPVisionModelWithProjection

        config = CLIPConfig.from_pretrained(clip, local_files_only=True)
        vision = config.vision_config
        (projection,) = _tensors(clip, "visual_projection.").values()
        vision.projection_dim = projection.shape[0]
        device, dtype = device_and_dtype()
        model = load_whole(CLIPVisionModelWithProjection, clip, dtype, config=vision).to(device)
        size = {"height": vision.image_size, "width": vision.image_size}
        processor = CLIPImageProcessor(size={"shortest_edge": vision.image_size}, crop_size=size)
    return ImageTower(
        lambda pixels: model(pixel_values=pixels).image_embeds,
        lambda image: processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0],
        device,
        dtype,
    )


class Adapter:
    """`text_adapter.adaptor.N`: residual blocks (`ln`, `fn`), then a norm, then a linear layer.

    Args:
        tensors: by their names after `text_adapter.`.
        device: of PyTorch.
        dtype: of PyTorch.

    Raises:
        RunError: the tensors are not those of an adapter.
    """

    def __init__(self, tensors: Mapping[str, Any], device: str, dtype: Any) -> None:
        layers: dict[int, dict[str, Any]] = {}
        for name, tensor in tensors.items():
            if found := re.fullmatch(r"adaptor\.(\d+)\.(.+)", name):
                layers.setdefault(int(found[1]), {})[found[2]] = tensor.to(device, dtype)
        *blocks, norm, last = (layers[number] for number in sorted(layers)) if len(layers) > 2 else ({}, {}, {})
        if not all("ln.weight" in block for block in blocks) or norm.get("weight") is None or "weight" not in last:
            raise RunError(f"the weights {_ADAPTER}adaptor are not those of LLM2CLIP's text adapter")
        self._blocks = [_Block(block) for block in blocks]
        self._norm = norm["weight"], norm.get("bias")
        self._last = last["weight"], last.get("bias")

    def __call__(self, hidden: Any) -> Any:
        """(rows, width of the language model) to (rows, dim)."""
        from torch.nn.functional import layer_norm, linear, normalize

        hidden = normalize(hidden, dim=-1)
        for block in self._blocks:
            hidden = hidden + block(hidden)
        return linear(layer_norm(hidden, hidden.shape[-1:], *self._norm, _NORM_EPS), *self._last)


class _Block:
    """Norm, linear layer, GELU, linear layer; `fn` may contain layers without weights between the two linear ones."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        first, second = sorted({name.rpartition(".")[0] for name in tensors if name.startswith("fn.")})
        self._norm = tensors["ln.weight"], tensors.get("ln.bias")
        self._first = tensors[f"{first}.weight"], tensors.get(f"{first}.bias")
        self._second = tensors[f"{second}.weight"], tensors.get(f"{second}.bias")

    def __call__(self, hidden: Any) -> Any:
        from torch.nn.functional import gelu, layer_norm, linear

        normed = layer_norm(hidden, hidden.shape[-1:], *self._norm, _NORM_EPS)
        return linear(gelu(linear(normed, *self._first)), *self._second)


def _tensors(folder: Path, prefix: str) -> dict[str, Any]:
    """All tensors whose names begin with `prefix`, by the rest of the name.

    Raises:
        RunError: there are none.
    """
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names = [name for name in list(file.keys()) if name.startswith(prefix)]
            found |= {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    if not found:
        raise RunError(f"{folder} has no weights {prefix}*: it is not the CLIP of an LLM2CLIP")
    return found
