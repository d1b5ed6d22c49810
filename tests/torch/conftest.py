from pathlib import Path

import pytest

from tests.torch.rows import write


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set as it is published."""
    folder = tmp_path_factory.mktemp("set")
    write(folder)
    return folder
