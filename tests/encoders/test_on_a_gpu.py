"""Every encoder on a GPU, in half precision: near what the CPU gives in float32."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.encoders.test_llm2clip import adapter, torch_weights
from tests.encoders.tiny_models import tiny_clip, tiny_llama, tiny_siglip
from unicorn_hf.core.encoder import resolve_encoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
TEXTS = [f"{number} cats sit on a mat. " * (1 + number % 9) for number in range(100)]
PICTURES = [Image.effect_noise((40 + number, 60), 100).convert("RGB") for number in range(10)]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models")
    tiny_clip(folder / "clip")
    tiny_siglip(folder / "siglip")
    tiny_clip(folder / "llm2clip")
    tiny_llama(folder / "llama")
    weights = {name: tensor for name, tensor in torch_weights(folder / "llm2clip").items() if "text_" not in name}
    save_file(weights | adapter(), folder / "llm2clip" / "model.safetensors", metadata={"format": "pt"})
    return {
        "clip": f"clip:{folder / 'clip'}",
        "siglip": f"clip:{folder / 'siglip'}",
        "llm2clip": f"llm2clip:{folder / 'llm2clip'}+{folder / 'llama'}",
        "open_clip": "open_clip:demo:minilm",
    }


def without_gpu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("long_captions", ["truncate", "chunk"])
@pytest.mark.parametrize("kind", ["clip", "siglip", "llm2clip", "open_clip"])
def test_captions(kind: str, long_captions: str, names: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    choice = resolve_encoder(names[kind], 16, long_captions)  # type: ignore[arg-type]
    there = choice.open().encode(TEXTS)
    without_gpu(monkeypatch)
    here = choice.open().encode(TEXTS)
    assert there.num_long == here.num_long
    assert there.vectors.dtype == np.float32
    assert np.einsum("ij,ij->i", there.vectors, here.vectors).min() > 0.99


@pytest.mark.parametrize("kind", ["clip", "siglip", "llm2clip"])
def test_pictures(kind: str, names: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    choice = resolve_encoder(names[kind], 4)
    there = choice.open_images().encode(PICTURES)
    without_gpu(monkeypatch)
    here = choice.open_images().encode(PICTURES)
    assert np.einsum("ij,ij->i", there, here).min() > 0.99


def test_a_closed_encoder_gives_the_memory_back(names: dict[str, str]) -> None:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    encoder = resolve_encoder(names["open_clip"], 16).open()
    assert torch.cuda.memory_allocated() > before
    encoder.close()
    assert torch.cuda.memory_allocated() <= before + 2**20
