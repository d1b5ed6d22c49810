"""LLM2CLIP against its formulas, stated again in NumPy, in float64, a text at a time, from the weights' files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPModel

from tests.encoders.tiny_models import BYTES, LLAMA_SPECIALS, tiny_clip, tiny_llama
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import RunError

pytestmark = pytest.mark.usefixtures("on_the_cpu")

Array = NDArray[np.float64]
Weights = Mapping[str, Array]
TEXTS = [
    "A cat sits on a mat.",
    "two dogs",
    "",
    "  An owl!\n",
    "naïve café, 12 €",
    "long " * 150,
    "[CLS] <|eot|> &amp;",
]
DIM, WIDTH, HIDDEN = 20, 32, 64


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    clip, llm = tmp_path_factory.mktemp("clip"), tmp_path_factory.mktemp("llm")
    tiny_clip(clip)
    tiny_llama(llm)
    weights = {name: tensor for name, tensor in torch_weights(clip).items() if "text_" not in name}
    save_file(weights | adapter(), clip / "model.safetensors", metadata={"format": "pt"})
    return clip, llm


def torch_weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file as load

    return dict(load(folder / "model.safetensors"))


def adapter() -> dict[str, Any]:
    """As the CLIP's repository names it: four blocks, a norm, a linear layer."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) * 0.3

    tensors = {}
    for block in range(4):
        name = f"text_adapter.adaptor.{block}"
        tensors |= {f"{name}.ln.weight": random(WIDTH) + 1, f"{name}.ln.bias": random(WIDTH)}
        tensors |= {f"{name}.fn.0.weight": random(HIDDEN, WIDTH), f"{name}.fn.0.bias": random(HIDDEN)}
        tensors |= {f"{name}.fn.3.weight": random(WIDTH, HIDDEN), f"{name}.fn.3.bias": random(WIDTH)}
    tensors |= {"text_adapter.adaptor.4.weight": random(WIDTH) + 1, "text_adapter.adaptor.4.bias": random(WIDTH)}
    return tensors | {"text_adapter.adaptor.5.weight": random(DIM, WIDTH)}


# -- The formulas -----------------------------------------------------------------------------------------------------


def exact(folder: Path) -> Weights:
    return {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()}


def ids_of(text: str) -> list[int]:
    """One token a byte, as the tiny tokenizer has it."""
    from tokenizers import pre_tokenizers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return [BYTES.index(letter) for word, _ in split for letter in word]


def special(name: str) -> int:
    return len(BYTES) + LLAMA_SPECIALS.index(f"<|{name}|>")


def llama(ids: list[int], weights: Weights, config: Mapping[str, Any]) -> Array:
    """The last hidden states, every token seeing every other: (tokens, width)."""

    def rms(x: Array, weight: Array) -> Array:
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + config["rms_norm_eps"]) * weight

    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = WIDTH // heads
    angles = np.arange(len(ids))[:, None] / 500_000.0 ** (np.arange(0, size, 2) / size)

    def turned(x: Array) -> Array:
        first, second = x[..., : size // 2], x[..., size // 2 :]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    hidden = weights["embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        own = {name.removeprefix(f"layers.{layer}."): value for name, value in weights.items()}
        x = rms(hidden, own["input_layernorm.weight"])
        q, k, v = (
            (x @ own[f"self_attn.{name}_proj.weight"].T).reshape(len(ids), number, size).transpose(1, 0, 2)
            for name, number in (("q", heads), ("k", groups), ("v", groups))
        )
        k, v = (np.repeat(each, heads // groups, axis=0) for each in (turned(k), v))
        scores = np.exp(turned(q) @ k.transpose(0, 2, 1) / math.sqrt(size))
        attended = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        hidden = hidden + attended.transpose(1, 0, 2).reshape(len(ids), WIDTH) @ own["self_attn.o_proj.weight"].T
        x = rms(hidden, own["post_attention_layernorm.weight"])
        gate, up = (x @ own[f"mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        hidden = hidden + (gate / (1 + np.exp(-gate)) * up) @ own["mlp.down_proj.weight"].T
    return rms(hidden, weights["norm.weight"])


def adapted(x: Array, weights: Weights) -> Array:
    def norm(x: Array, name: str) -> Array:
        scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    erf = np.vectorize(math.erf)
    x = x / np.linalg.norm(x)
    for block in range(4):
        name = f"text_adapter.adaptor.{block}"
        inner = weights[f"{name}.fn.0.weight"] @ norm(x, f"{name}.ln") + weights[f"{name}.fn.0.bias"]
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        x = x + weights[f"{name}.fn.3.weight"] @ inner + weights[f"{name}.fn.3.bias"]
    out = weights["text_adapter.adaptor.5.weight"] @ norm(x, "text_adapter.adaptor.4")
    return np.array(out / np.linalg.norm(out))


def stated(text: str, clip: Path, llm: Path) -> Array:
    header = [special("begin_of_text"), special("start_header_id"), *ids_of("user"), special("end_header_id")]
    header += ids_of("\n\n")
    caption = [*ids_of(text.strip())[: 512 - len(header) - 1], special("eot_id")]
    config = json.loads((llm / "config.json").read_text())
    hidden = llama(header + caption, exact(llm), config)
    return adapted(hidden[-len(caption) :].mean(axis=0), exact(clip))


# -- Ours -------------------------------------------------------------------------------------------------------------


def test_captions_have_the_formulas_vectors(folders: tuple[Path, Path]) -> None:
    clip, llm = folders
    encoder = resolve_encoder(f"llm2clip:{clip}+{llm}", 3).open()
    encoded = encoder.encode(TEXTS)
    assert encoder.dim == DIM
    np.testing.assert_allclose(encoded.vectors, [stated(text, clip, llm) for text in TEXTS], atol=2e-6)
    assert encoded.num_long == 1
    encoder.close()


def test_a_token_sees_what_follows_it(folders: tuple[Path, Path]) -> None:
    """Else the vector would be that of Llama as it was, and the formula above not what is tested."""
    _, llm = folders
    config = json.loads((llm / "config.json").read_text())
    hidden = [llama(ids_of(text), exact(llm), config)[0] for text in ("owl", "owt")]
    assert np.abs(hidden[0] - hidden[1]).max() > 1e-3


@pytest.mark.parametrize("prefix", ["", "model."])
def test_the_llms_names_may_begin_with_model(prefix: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    clip, llm = folders
    tiny_llama(tmp_path)
    weights = {f"{prefix}{name}": tensor for name, tensor in torch_weights(llm).items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = resolve_encoder(f"llm2clip:{clip}+{tmp_path}", 3).open().encode(TEXTS[:2]).vectors
    np.testing.assert_allclose(found, [stated(text, clip, llm) for text in TEXTS[:2]], atol=2e-6)


def test_pictures_have_the_clips_vectors(folders: tuple[Path, Path], tmp_path: Path) -> None:
    clip, llm = folders
    whole = tiny_clip(tmp_path)
    pictures = [Image.effect_noise((40 + number, 60), 100).convert("RGB") for number in range(3)]
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    features = whole.get_image_features(**processor(images=pictures, return_tensors="pt")).pooler_output
    tower = resolve_encoder(f"llm2clip:{clip}+{llm}", 2).open_images()
    assert isinstance(whole, CLIPModel)
    wanted = torch.nn.functional.normalize(features, dim=-1).detach().numpy()
    np.testing.assert_allclose(tower.encode(pictures), wanted, atol=2e-6)
    tower.close()


def test_a_clip_without_a_text_adapter_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, llm = folders
    tiny_clip(tmp_path)
    with pytest.raises(RunError, match=r"has no weights text_adapter\.\*: it is not the CLIP of an LLM2CLIP"):
        resolve_encoder(f"llm2clip:{tmp_path}+{llm}", 2).open()


def test_an_adapter_of_another_form_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, llm = folders
    tiny_clip(tmp_path)
    for wrong in ({"text_adapter.adaptor.0.weight": torch.ones(3)}, {"text_adapter.proj": torch.ones(3)}):
        save_file(wrong, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(RunError, match="are not those of LLM2CLIP's text adapter"):
            resolve_encoder(f"llm2clip:{tmp_path}+{llm}", 2).open()


def test_llm_weights_that_are_not_there_are_no_random_numbers(folders: tuple[Path, Path], tmp_path: Path) -> None:
    clip, llm = folders
    tiny_llama(tmp_path)
    weights = torch_weights(llm)
    del weights["layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"lacks 1 weights of a LlamaModel: layers\.1\.mlp\.up_proj\.weight"):
        resolve_encoder(f"llm2clip:{clip}+{tmp_path}", 2).open()
