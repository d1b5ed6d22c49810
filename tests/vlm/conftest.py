from pathlib import Path

import pytest

from tests.vlm import write_language_model


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny language model."""
    return write_language_model(tmp_path_factory.mktemp("language-model"))
