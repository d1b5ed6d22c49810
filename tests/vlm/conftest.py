from pathlib import Path

import pytest

from tests.representations.test_transfers import fitted, statistics_of
from tests.vlm import IMAGES, TEXTS, write_language_model
from unicorn_hf.representations.moments import Covariance, DomainMoments, Moments
from unicorn_hf.representations.transfer_file import (
    ImageStatistics,
    encoder_id,
    save_image_statistics,
    save_transfer,
)
from unicorn_hf.vlm import UnicornForConditionalGeneration


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny language model."""
    return write_language_model(tmp_path_factory.mktemp("language-model"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a tiny CLIP."""
    from tests.encoders.tiny_models import tiny_clip  # It imports open_clip, which takes long.

    folder = tmp_path_factory.mktemp("clip")
    tiny_clip(folder)
    return f"clip:{folder}"


@pytest.fixture(scope="session")
def statistics(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of `calibrate`."""
    path = tmp_path_factory.mktemp("statistics") / "image_statistics.safetensors"
    covariance = Covariance.of(IMAGES)
    save_image_statistics(path, ImageStatistics(Moments.of(IMAGES), encoder, encoder_id(encoder), "photos", covariance))
    return path


@pytest.fixture(scope="session")
def saved(encoder: str, language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a set that was built without image statistics."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "set").mkdir()
    save_transfer(
        folder / "set" / "transfer.safetensors",
        fitted("mean_shift", TEXTS, None, seed=3),
        statistics_of("mean_shift", TEXTS, None, [], seed=3),
        DomainMoments.of(TEXTS, ["birds"] * len(TEXTS)),
        encoder=encoder,
        encoder_id=encoder_id(encoder),
    )
    model = UnicornForConditionalGeneration.from_language_model(str(language_model), folder / "set")
    model.save_pretrained(folder / "model")
    return folder / "model"
