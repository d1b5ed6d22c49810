"""Image side of a small open_clip model with random weights: calibrate, build, gap, as a user would."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.builds import rows, unicorn
from tests.representations import formulas
from unicorn_hf import load_transfer
from unicorn_hf.core.errors import InputError
from unicorn_hf.engines.specs import resolve_encoder
from unicorn_hf.representations.calibrate import calibrate
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.representations.transfer_file import load_image_statistics
from unicorn_hf.runtime.progress import NoProgress

DIM, NUM = 16, 60
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP of the right form that nobody has trained."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    tower = {"width": 32, "layers": 1, "heads": 2}
    config = {
        "model_cfg": {
            "embed_dim": DIM,
            "vision_cfg": {"image_size": 16, "patch_size": 8, "head_width": 16, "width": 32, "layers": 1},
            "text_cfg": {"context_length": 32, "vocab_size": 49408, **tower},
        },
        "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawings")
    rng = np.random.default_rng(0)
    lines = ["file_name,text"]
    for number in range(NUM):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,drawing number {number}")
    (folder / "metadata.csv").write_text("\n".join(lines[:41]) + "\n")
    return folder


def encoded(encoder: str, folder: Path) -> NDArray[np.float64]:
    """What open_clip itself says of the pictures."""
    import open_clip
    import torch

    model, preprocess = open_clip.create_model_from_pretrained(encoder.removeprefix("open_clip:"))
    images = [Image.open(path) for path in sorted(folder.glob("*.png"))]
    with torch.inference_mode():
        features = model.eval().encode_image(torch.stack([preprocess(image) for image in images]))
    return formulas.n(features.double().numpy())


def test_the_image_side_is_open_clips(encoder: str, pictures: Path) -> None:
    tower = resolve_encoder(encoder, 7).open_images()
    assert tower.dim == DIM
    found = tower.encode([Image.open(path) for path in sorted(pictures.glob("*.png"))])
    assert (found.dtype, found.shape) == (np.float32, (NUM, DIM))
    np.testing.assert_allclose(found, encoded(encoder, pictures), atol=1e-5)
    assert tower.encode([]).shape == (0, DIM)
    tower.close()


def test_an_encoder_without_images_is_refused() -> None:
    for name in ("hashing:8", "open_clip:demo:minilm"):
        choice = resolve_encoder(name, 7)
        assert not choice.has_image_side
        with pytest.raises(InputError, match=f"the encoder {name} has no image side"):
            choice.open_images()


def test_calibrate_measures_all_pictures_a_batch_at_a_time(encoder: str, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "images.safetensors"
    calibrate(PictureSource(str(pictures), 1000), encoder, out, NoProgress())
    found, exact = load_image_statistics(out), encoded(encoder, pictures)
    assert (found.moments.count, found.source) == (NUM, pictures.name)
    assert found.encoder == f"open_clip:local-dir:{Path(encoder).name}"
    np.testing.assert_allclose(found.moments.mean, exact.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.moments.variance, exact.var(axis=0), atol=1e-6)
    with pytest.raises(InputError, match="no spread"):
        calibrate(PictureSource(str(pictures), 1), encoder, out, NoProgress())


def test_calibrate_build_and_gap_as_commands(encoder: str, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_text("".join(f"a jar number {n} on a shelf\n" for n in range(150)))
    done = unicorn("calibrate", "--images", pictures, "--encoder", encoder, "--out", "im.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{NUM} pictures" in done.stdout
    done = unicorn(
        "build", "--seeds", "seeds.txt", "--captions", 50, "--instructions", 10, "--engine", "echo", "--workers", 1,
        "--encoder", encoder, "--transfer", "realign", "--image-statistics", "im.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = unicorn("gap", "unicorn", "--images", pictures, "--encoder", encoder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "norm of the gap between the means" in done.stdout
    facts = json.loads((tmp_path / "unicorn" / "statistics.json").read_text())["gap"]
    assert (facts["num_images"], facts["num_texts"], facts["num_pairs"]) == (NUM, 50, 40)
    exact = encoded(encoder, pictures)
    after = np.array([row["image_embedding"] for row in rows(tmp_path / "unicorn", "pretrain")], dtype=np.float64)
    assert facts["after"]["mean_gap"] == pytest.approx(np.linalg.norm(after.mean(0) - exact.mean(0)), abs=2e-4)
    assert facts["after"]["mean_gap"] < facts["before"]["mean_gap"]
    card = (tmp_path / "unicorn" / "README.md").read_text()
    assert "](assets/gap.png)" in card
    assert f"| {facts['before']['mmd']} | {facts['after']['mmd']} |" in card
    assert (tmp_path / "unicorn" / "assets" / "gap.png").stat().st_size > 10_000
    assert str(tmp_path) not in card
    assert load_transfer(tmp_path / "unicorn").name == "realign"
    done = unicorn("validate", "unicorn", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    done = unicorn("gap", "unicorn", "--images", pictures, "--encoder", "hashing:16", cwd=tmp_path)
    assert done.returncode == 2
    assert "is another model" in done.stderr
