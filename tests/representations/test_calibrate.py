"""Image side of the demonstration encoder on emoji that it never saw: calibrate, build, gap, as a user would."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from tests.builds import SHARED, rows, unicorn
from tests.emoji import FOLDER, PICTURES
from tests.representations import formulas
from unicorn_hf import load_transfer
from unicorn_hf.cli import main
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.models.demo_models import demo_encoder
from unicorn_hf.representations.calibrate import calibrate
from unicorn_hf.representations.pictures import PictureSource, on_white
from unicorn_hf.representations.transfer_file import load_image_statistics
from unicorn_hf.runtime.progress import Progress

DIM, NUM, SAID = 384, len(PICTURES), 20
ENCODER = "open_clip:demo:minilm"
pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Emoji, of most of which it is said what they show."""
    folder = tmp_path_factory.mktemp("drawings")
    for path in PICTURES:
        shutil.copyfile(path, folder / path.name)
    lines = (FOLDER / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (folder / "metadata.csv").write_text("\n".join(lines[: 1 + SAID]) + "\n", encoding="utf-8")
    return folder


def encoded(folder: Path) -> NDArray[np.float64]:
    """What open_clip itself says of the pictures."""
    import open_clip
    import torch

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{demo_encoder('minilm')}")
    images = [on_white(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    with torch.inference_mode():
        features = model.eval().encode_image(torch.stack([preprocess(image) for image in images]))
    return formulas.n(features.double().numpy())


def test_the_image_side_is_open_clips(pictures: Path) -> None:
    tower = resolve_encoder(ENCODER, 7).open_images()
    assert tower.dim == DIM
    found = tower.encode([on_white(Image.open(path)) for path in sorted(pictures.glob("*.png"))])
    assert (found.dtype, found.shape) == (np.float32, (NUM, DIM))
    np.testing.assert_allclose(found, encoded(pictures), atol=1e-5)
    assert tower.encode([]).shape == (0, DIM)
    tower.close()


def test_an_encoder_without_images_is_refused() -> None:
    choice = resolve_encoder("hashing:8", 7)
    assert not choice.has_image_side
    with pytest.raises(InputError, match="the encoder hashing:8 has no image side"):
        choice.open_images()


def test_calibrate_measures_all_pictures_a_batch_at_a_time(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "images.safetensors"
    calibrate(PictureSource(str(pictures), 1000), ENCODER, out, Progress())
    found, exact = load_image_statistics(out), encoded(pictures)
    assert (found.moments.count, found.source) == (NUM, pictures.name)
    assert found.encoder == ENCODER
    np.testing.assert_allclose(found.moments.mean, exact.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.moments.variance, exact.var(axis=0), atol=1e-6)
    with pytest.raises(InputError, match="no spread"):
        calibrate(PictureSource(str(pictures), 1), ENCODER, out, Progress())


def run(*arguments: object) -> Result:
    """The command in this process, which has imported torch already."""
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.mark.parametrize("transfer", ["realign", "aniso_align"])
def test_calibrate_build_and_gap_as_commands(
    transfer: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.txt").write_text("".join(f"a jar number {n} on a shelf\n" for n in range(150)))
    kept = ("--keep-vectors", 20) if transfer == "aniso_align" else ()
    done = run("calibrate", "--images", pictures, "--encoder", ENCODER, "--out", "im.safetensors", *kept)
    assert done.exit_code == 0, done.stderr
    assert f"{NUM} images" in done.stdout
    assert ("20 vectors kept" in done.stdout) == bool(kept)
    told = run("calibrate", "--images", pictures, "--encoder", ENCODER, "--out", "j.safetensors", "--json")
    assert (json.loads(told.stdout)["num_images"], json.loads(told.stdout)["dim"]) == (NUM, DIM)
    done = unicorn(
        "build", "--seeds", "seeds.txt", "--captions", 50, "--instructions", 10, "--engine", "echo", *SHARED,
        "--encoder", ENCODER, "--transfer", transfer, "--image-statistics", "im.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = run("gap", "unicorn", "--images", pictures, "--encoder", ENCODER)
    assert done.exit_code == 0, done.stderr
    assert "norm of the gap between the means" in done.stdout
    facts = json.loads((tmp_path / "unicorn" / "statistics.json").read_text())["gap"]
    assert (facts["num_images"], facts["num_texts"], facts["num_pairs"]) == (NUM, 50, SAID)
    exact = encoded(pictures)
    after = np.array([row["image_embedding"] for row in rows(tmp_path / "unicorn", "pretrain")], dtype=np.float64)
    assert facts["after"]["mean_gap"] == pytest.approx(np.linalg.norm(after.mean(0) - exact.mean(0)), abs=2e-4)
    assert facts["after"]["mean_gap"] < facts["before"]["mean_gap"]
    card = (tmp_path / "unicorn" / "README.md").read_text()
    assert "](assets/gap.png)" in card
    assert f"| {facts['before']['mmd']} | {facts['after']['mmd']} |" in card
    assert (tmp_path / "unicorn" / "assets" / "gap.png").stat().st_size > 10_000
    assert str(tmp_path) not in card
    assert f"| mixing around a text | {facts['before']['text_mixing']} | {facts['after']['text_mixing']} |" in card
    assert 0 < facts["after"]["residual_dimension"] < 1 < facts["after"]["residual_anisotropy"]
    assert 0 < facts["similarities_kept"] <= 1
    assert load_transfer(tmp_path / "unicorn").name == transfer
    done = run("validate", "unicorn")
    assert done.exit_code == 0, done.stdout
    told = run("gap", "unicorn", "--images", pictures, "--encoder", ENCODER, "--no-plot", "--json")
    assert json.loads(told.stdout)["after"] == facts["after"]
    done = run("gap", "unicorn", "--images", pictures, "--encoder", "hashing:16")
    assert done.exit_code == 2
    assert "is another model" in done.stderr
