"""The base files, made once."""

from pathlib import Path

import pytest

from tests.fuzz.corpus import make_corpus


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder
