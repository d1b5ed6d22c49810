"""The base files, made once."""

from pathlib import Path

import pytest

from tests.fuzz import doors
from tests.fuzz.corpus import make_corpus


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    # What is loaded once in a process is no case's time.
    doors.tokenizer()
    return folder
