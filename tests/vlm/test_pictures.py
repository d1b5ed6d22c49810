"""Pictures go through the encoder's image side and the transfer to the model, which answers in words."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.docs.blocks import ROOT
from tests.emoji import PICTURES
from tests.encoders.tiny_models import tiny_clip
from tests.vlm import IMAGES
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.representations.moments import Moments
from unicorn_hf.representations.pictures import on_white
from unicorn_hf.vlm import UnicornForConditionalGeneration

pytestmark = pytest.mark.slow  # It imports open_clip.

QUESTION = "What is it?"


def test_pictures_are_encoded_and_moved(saved: Path, encoder: str, statistics: Path) -> None:
    pictures = [Image.open(path) for path in PICTURES[:3]]
    model = UnicornForConditionalGeneration.from_pretrained(saved, encoder=encoder)
    model.add_image_statistics(statistics)
    moved = model.encode_pictures(pictures).numpy()
    images = [on_white(picture) for picture in pictures]
    expected = resolve_encoder(encoder, batch_size=8).open_images().encode(images) - Moments.of(IMAGES).mean
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    np.testing.assert_allclose(model.encode_pictures(pictures[:1]).numpy(), moved[:1], atol=1e-5)


def test_a_single_picture_needs_image_statistics(saved: Path, encoder: str) -> None:
    model = UnicornForConditionalGeneration.from_pretrained(saved, encoder=encoder)
    with pytest.raises(InputError, match="a single image is its own mean"):
        model.answer([Image.open(PICTURES[0])], [QUESTION])


def test_another_encoder_is_refused(saved: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    other = tiny_clip(tmp_path)
    other.visual_projection.weight.data.mul_(2)
    other.save_pretrained(tmp_path)
    model = UnicornForConditionalGeneration.from_pretrained(saved, encoder=f"clip:{tmp_path}")
    with pytest.raises(InputError, match="is not the one that the model was trained with"):
        model.encode_pictures([Image.open(PICTURES[0])])


def test_a_file_that_a_model_names_as_its_encoder_is_not_opened(saved: Path, tmp_path: Path) -> None:
    for encoder in (f"clip:{tmp_path}", "open_clip:ViT-B-32//dev/zero", f"llm2clip:{tmp_path}"):
        model = UnicornForConditionalGeneration.from_pretrained(saved)
        model.config.encoder = encoder
        with pytest.raises(InputError, match="names a file of this machine as its encoder"):
            model.encode_pictures([Image.open(PICTURES[0])])


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """Run examples/ask.py in this process."""
    example = ROOT / "examples" / "ask.py"
    monkeypatch.setattr("sys.argv", [str(example), *map(str, arguments)])
    runpy.run_path(str(example), run_name="__main__")


def test_the_example_answers_with_text(
    saved: Path, encoder: str, statistics: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--encoder", encoder, "--image-statistics", statistics, "--max-new-tokens", 12)
    asked(monkeypatch, saved, PICTURES[0], QUESTION, *options)
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("model", "picture", "told"),
    [
        (None, "nowhere.png", "No such file"),
        (None, __file__, "cannot identify image file"),
        ("/nowhere", PICTURES[0], "/nowhere"),
        (None, PICTURES[0], "--image-statistics"),
    ],
    ids=["no picture", "not a picture", "no model", "no statistics"],
)
def test_the_example_tells_what_is_wrong(
    model: str | None, picture: object, told: str, saved: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=told):
        asked(monkeypatch, model or saved, picture, QUESTION, "--encoder", encoder)
