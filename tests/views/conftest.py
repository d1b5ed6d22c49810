"""A build to look at."""

from pathlib import Path

import pytest

from tests.builds import write_seeds
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import build, load_recipe


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of which some captions were rejected."""
    folder = tmp_path_factory.mktemp("made")
    recipe = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
        "captions.num": 60,
        "captions.filters.min_words": 110,
        "instructions.num": 25,
        "representations.encoder": "hashing:16",
        "cluster.kind": share_workers(),
    }
    build(load_recipe("demo", recipe), folder / "unicorn")
    return folder / "unicorn"
