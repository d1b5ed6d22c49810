"""LLM2CLIP (2411.04997), the paper's encoder, without remote code.

It consists of two repositories. The language model is a Llama with bidirectional attention (LLM2Vec, 2404.05961), tuned
on captions. The CLIP has a vision tower (`vision_model`, `visual_projection`) and the text adapter (`text_adapter`).
The input for a caption is

    <|begin_of_text|> <|start_header_id|> user <|end_header_id|> \\n\\n CAPTION <|eot_id|>

Its vector is computed from h, the mean of the last hidden states over CAPTION and <|eot_id|>: N(h) with N(x) = x / |x|;
then blocks x + W2 gelu(W1 LN(x) + b1) + b2; LN; a linear layer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import ModelSource
from unicorn_hf.encoders.base import TowerPair
from unicorn_hf.encoders.towers.transformers_models import load_whole, model_folder
from unicorn_hf.models.folders import source_identity

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.tokens import Tokens
    from unicorn_hf.encoders.towers.towers import ImageFeatures, Preprocess, TextFeatures

LLM = ModelSource("microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned")
_NUM_BYTES = 20 * 2**30
"""GPU memory for 8 billion parameters in bfloat16, with the adapter and a small batch."""
_CONTEXT_LENGTH = 512
_HEADER = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
_END = "<|eot_id|>"
_ADAPTER = "text_adapter."
_NORM_EPS = 1e-5
"""Of torch.nn.LayerNorm."""


@ENCODERS.register("llm2clip")
@dataclass(frozen=True, slots=True)
class Llm2Clip(TowerPair):
    """LLM2CLIP: a language model as the text side of a CLIP."""

    forms = {
        "CLIP": "e.g. llm2clip:microsoft/LLM2CLIP-Openai-L-14-336, with its caption-tuned Llama",
        "CLIP+LLM": "the same with another language model",
    }

    clip: ModelSource
    """The model with the vision tower and the text adapter."""
    llm: ModelSource

    def __str__(self) -> str:
        return f"llm2clip:{self.clip}+{self.llm}"

    @classmethod
    def parse(cls, rest: str) -> Self:
        clip, plus, llm = rest.partition("+")
        return cls(ModelSource.parse(clip), ModelSource.parse(llm) if plus else LLM)

    def published(self, rest: str) -> str:
        if not (self.clip.is_folder or self.llm.is_folder):
            return rest
        return f"{self.clip.published}+{self.llm.published}"

    def hub_models(self) -> list[ModelSource]:
        return [self.clip, self.llm]

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        # A GPU of unknown size counts as large enough.
        memory = max((num_bytes or _NUM_BYTES for num_bytes in machine.gpus), default=0)
        if machine.runs_workers and memory < _NUM_BYTES:
            message = (
                "the recipe's encoder LLM2CLIP has 8 billion parameters and needs a GPU with"
                f" {_NUM_BYTES / 2**30:,.1f} GiB; this machine has none"
            )
            fix = "Use another encoder (--encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k), or another machine"
            yield Finding(severity="warning", message=message, fix=fix)

    def identity(self) -> str:
        # The class's name in an earlier version: existing vectors are found by it.
        return fingerprint("Llm2ClipSpec", [source_identity(source) for source in (self.clip, self.llm)])

    def load_text(self, device: str, dtype: Any) -> "tuple[TextFeatures, Tokens]":
        import torch
        from transformers import AutoTokenizer, LlamaConfig, LlamaModel

        from unicorn_hf.encoders.towers.tokens import Frame, Tokens, native_contents

        adapter = Adapter(_tensors(model_folder(self.clip), _ADAPTER), device, dtype)
        llm = model_folder(self.llm)
        config = LlamaConfig.from_pretrained(llm, local_files_only=True)
        model = load_whole(LlamaModel, llm, dtype, config=config, attn_implementation="sdpa").to(device)
        tokenizer = AutoTokenizer.from_pretrained(llm, trust_remote_code=False, local_files_only=True)
        native = native_contents(tokenizer)
        (header,), (end,) = native([_HEADER]), native([_END])
        if len(end) != 1:
            raise RunError(f"the tokenizer of {self.llm} has no token {_END}: it is not that of Llama 3")
        frame = Frame(_CONTEXT_LENGTH, tuple(header), tuple(end), end[0])

        def features(ids: Any, mask: Any) -> Any:
            # A mask of four dimensions is used unchanged: each token sees all others except padding.
            seen = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
            hidden = model(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
            pooled = mask & (torch.arange(mask.shape[1], device=mask.device) >= len(frame.prefix))
            # The sum over 500 tokens exceeds half precision.
            total = (hidden * pooled[..., None]).sum(dim=1, dtype=torch.float32)
            return adapter((total / pooled.sum(dim=1, keepdim=True)).to(dtype))

        return features, Tokens(lambda texts: native([text.strip() for text in texts]), frame)

    def load_images(self, device: str, dtype: Any) -> "tuple[ImageFeatures, Preprocess]":
        """The CLIP's vision tower, with the preprocessing of OpenAI's CLIP, on which it is based."""
        from transformers import CLIPConfig, CLIPImageProcessor, CLIPVisionModelWithProjection

        clip = model_folder(self.clip)
        vision = CLIPConfig.from_pretrained(clip, local_files_only=True).vision_config
        (projection,) = _tensors(clip, "visual_projection.").values()
        vision.projection_dim = projection.shape[0]
        model = load_whole(CLIPVisionModelWithProjection, clip, dtype, config=vision).to(device)
        size = {"height": vision.image_size, "width": vision.image_size}
        processor = CLIPImageProcessor(size={"shortest_edge": vision.image_size}, crop_size=size)
        return (
            lambda pixels: model(pixel_values=pixels).image_embeds,
            lambda image: processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0],
        )


class Adapter:
    """`text_adapter.adaptor.N`: residual blocks (`ln`, `fn`), then a norm, then a linear layer.

    `tensors` are named without `text_adapter.`.

    Raises:
        RunError: the tensors are not those of an adapter.
    """

    def __init__(self, tensors: Mapping[str, Any], device: str, dtype: Any) -> None:
        self._tensors = {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
        numbers = sorted({int(found[1]) for name in tensors if (found := re.match(r"adaptor\.(\d+)\.", name))})
        layers = [f"adaptor.{number}" for number in numbers]
        *blocks, self._norm, self._last = layers if len(layers) > 2 else ["", "", ""]
        weighted = [*(f"{block}.ln" for block in blocks), self._norm, self._last]
        if not all(f"{name}.weight" in tensors for name in weighted):
            raise RunError(f"the weights {_ADAPTER}adaptor are not those of LLM2CLIP's text adapter")
        # `fn` is a linear layer, GELU, a linear layer; it may also contain layers without weights.
        self._blocks: list[tuple[str, str, str]] = []
        for block in blocks:
            first, second = sorted({name.rpartition(".")[0] for name in tensors if name.startswith(f"{block}.fn.")})
            self._blocks.append((f"{block}.ln", first, second))

    def __call__(self, hidden: Any) -> Any:
        """(rows, width of the language model) to (rows, dim)."""
        from torch.nn.functional import gelu, layer_norm, linear, normalize

        hidden = normalize(hidden, dim=-1)
        for norm, first, second in self._blocks:
            normed = layer_norm(hidden, hidden.shape[-1:], *self._weights(norm), _NORM_EPS)
            hidden = hidden + linear(gelu(linear(normed, *self._weights(first))), *self._weights(second))
        normed = layer_norm(hidden, hidden.shape[-1:], *self._weights(self._norm), _NORM_EPS)
        return linear(normed, *self._weights(self._last))

    def _weights(self, name: str) -> tuple[Any, Any]:
        return self._tensors[f"{name}.weight"], self._tensors.get(f"{name}.bias")


def _tensors(folder: Path, prefix: str) -> dict[str, Any]:
    """All tensors whose names begin with `prefix`, by the rest of the name; an error if there are none."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names = [name for name in list(file.keys()) if name.startswith(prefix)]
            found |= {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    if not found:
        raise RunError(f"{folder} has no weights {prefix}*: it is not the CLIP of an LLM2CLIP")
    return found
