from pathlib import Path

import pytest

from tests.vlm import IMAGES, write_language_model, write_model
from unicorn_hf.representations.moments import Covariance
from unicorn_hf.representations.transfer_file import (
    ImageStatistics,
    encoder_id,
    save_image_statistics,
)


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
    save_image_statistics(path, ImageStatistics(Covariance.of(IMAGES), encoder, encoder_id(encoder), "photos"))
    return path


@pytest.fixture(scope="session")
def saved(encoder: str, language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a set that was built without image statistics."""
    return write_model(tmp_path_factory.mktemp("model"), language_model, encoder)
