"""The demonstration encoder's image tower: open_clip loads it, it finds words, and its card says what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scripts.train_joint_encoder import filled
from tests.emoji import LABELS, PICTURES
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.models.demo_models import IMAGE_TOWER, demo_encoder
from unicorn_hf.representations.pictures import on_white

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    tower = resolve_encoder("open_clip:demo:minilm", 5).open_images()
    try:
        return tower.encode([on_white(Image.open(path)) for path in PICTURES])
    finally:
        tower.close()


def test_pictures_are_unit_vectors_beside_the_texts(vectors: NDArray[np.float32]) -> None:
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(LABELS), 384))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_open_clip_loads_the_folder_and_says_the_same(vectors: NDArray[np.float32]) -> None:
    import open_clip
    import torch

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{demo_encoder('minilm')}")
    with torch.inference_mode():
        images = torch.stack([preprocess(on_white(Image.open(path))) for path in PICTURES[:3]])
        found = model.eval().encode_image(images, normalize=True).numpy()
    np.testing.assert_allclose(found, vectors[:3], atol=1e-5)


def test_the_words_of_emoji_that_it_never_saw_are_found(vectors: NDArray[np.float32]) -> None:
    tower = resolve_encoder("open_clip:demo:minilm", 32).open()
    near = vectors @ tower.encode(LABELS).vectors.T
    tower.close()
    place = (near > np.diag(near)[:, None]).sum(axis=1)
    assert (place == 0).mean() > 0.2, "of 24 labels the first; by chance 4 %"
    assert (place < 5).mean() > 0.4, "by chance 21 %"


def test_the_card_has_the_figures_that_were_measured() -> None:
    facts = json.loads((IMAGE_TOWER / "scores.json").read_text(encoding="utf-8"))
    template = (ROOT / "scripts" / "joint_encoder_card.md").read_text(encoding="utf-8")
    card = (IMAGE_TOWER / "README.md").read_text(encoding="utf-8")
    assert card == filled(template, facts)
    assert card == (demo_encoder("minilm") / "README.md").read_text(encoding="utf-8")
    measured = {(row["art"], row["concepts"]): row for row in facts["recall"]}
    assert {("OpenMoji", "seen"), ("OpenMoji", "unseen"), ("Noto", "unseen"), ("Twemoji", "unseen")} <= set(measured)
    for row in measured.values():
        assert 10 / row["num"] < row["image_to_text_10"] <= 1


def test_the_weights_are_small() -> None:
    from safetensors.numpy import load_file

    weights = load_file(IMAGE_TOWER / "image_tower.safetensors")
    assert 1e6 < sum(weight.size for weight in weights.values()) < 5e6
    assert sum(path.stat().st_size for path in IMAGE_TOWER.iterdir()) < 5e6
