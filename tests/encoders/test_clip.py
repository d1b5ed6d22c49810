"""CLIP and SigLIP of transformers: our vectors are those that transformers itself gives for the same folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from tests.encoders.tiny_models import tiny_clip, tiny_siglip
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError, RunError

pytestmark = pytest.mark.usefixtures("on_the_cpu")

TEXTS = ["A cat sits on a mat.", "two dogs", "", "An owl! " * 30, "naïve café, 12 €", "一只猫"]
PICTURES = [Image.effect_noise((40 + 3 * number, 50), 90 + number) for number in range(5)]
MODELS = {"clip": tiny_clip, "siglip": tiny_siglip}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    return folder, MODELS[request.param](folder)


def unit(output: Any) -> Any:
    return torch.nn.functional.normalize(output.pooler_output, dim=-1).detach().numpy()


def test_captions_have_transformers_vectors(model: tuple[Path, Any]) -> None:
    folder, theirs = model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=24, return_tensors="pt")
    encoder = resolve_encoder(f"clip:{folder}", 2).open()
    encoded = encoder.encode(TEXTS)
    np.testing.assert_allclose(encoded.vectors, unit(theirs.get_text_features(**rows)), atol=2e-6)
    assert encoded.num_long == 1
    encoder.close()


def test_padding_is_left_away_where_it_has_no_effect(model: tuple[Path, Any]) -> None:
    from unicorn_hf.core.model_source import ModelSource
    from unicorn_hf.encoders import Clip

    folder, theirs = model
    frame = Clip(ModelSource(str(folder))).text_tower().tokens.frame
    assert frame.whole == (theirs.config.model_type == "siglip")


def test_pictures_have_transformers_vectors(model: tuple[Path, Any]) -> None:
    from transformers import AutoImageProcessor

    folder, theirs = model
    pixels = AutoImageProcessor.from_pretrained(folder)(
        images=[picture.convert("RGB") for picture in PICTURES], return_tensors="pt"
    )
    choice = resolve_encoder(f"clip:{folder}", 2)
    assert choice.has_image_side
    tower = choice.open_images()
    np.testing.assert_allclose(tower.encode(PICTURES), unit(theirs.get_image_features(**pixels)), atol=2e-6)
    tower.close()


def test_both_sides_have_one_dimension_and_one_identity(model: tuple[Path, Any]) -> None:
    folder, _ = model
    choice = resolve_encoder(f"clip:{folder}", 2)
    assert choice.open().dim == choice.open_images().dim
    assert choice.identity == resolve_encoder(f"clip:{folder}", 64).identity
    assert choice.text_identity != resolve_encoder(f"clip:{folder}", 2, "chunk").text_identity
    assert resolve_encoder("clip:a/b", 2).identity != resolve_encoder("clip:a/b@v2", 2).identity


def test_weights_that_are_not_there_are_no_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    choice = resolve_encoder(f"clip:{tmp_path}", 2)
    with pytest.raises(RunError, match=r"lacks 1 weights of a CLIPModel: text_projection\.weight"):
        choice.open()
    assert choice.open_images().dim == 20, "the image side lacks nothing"


def test_what_is_not_there_or_of_another_kind_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder /none"):
        resolve_encoder("clip:/none", 2)
    with pytest.raises(InputError, match=r"it has no config\.json"):
        resolve_encoder(f"clip:{tmp_path}", 2)
    tiny_clip(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "martian"}))
    with pytest.raises(RunError, match=r"the encoder clip:.* cannot be loaded"):
        resolve_encoder(f"clip:{tmp_path}", 2).open()
