"""What the tests of examples/clusters share."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Security

from tests.builds import SHARED, rows, unicorn, write_seeds
from tests.docs.blocks import ROOT
from tests.runtime.dask_cluster import PATIENCE_S

EXAMPLES = ROOT / "examples" / "clusters"
UV = [sys.executable, "-m", "uv", "--quiet"]
RECIPE = """\
partition_rows: 16
seeds: {{sources: [{{path: {seeds}, kind: file}}]}}
engine: {{kind: echo}}
captions: {{num: 160}}
instructions: {{num: 40}}
representations: {{encoder: 'hashing:64'}}
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with SkyPilot and the like, on top of the tests' own."""
    folder = tmp_path_factory.mktemp("environment")
    add_environment(folder)
    requirements = ROOT / "requirements" / "clusters.txt"
    run([*UV, "pip", "install", "--python", folder / "bin" / "python", "--no-deps", "-r", requirements])
    return folder / "bin"


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rehearsal in ten partitions."""
    folder = tmp_path_factory.mktemp("recipe")
    path = folder / "small.yaml"
    path.write_text(RECIPE.format(seeds=write_seeds(folder / "seeds.txt", 300)))
    return path


@pytest.fixture(scope="session")
def expected(recipe: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the same recipe, made on this machine."""
    done = unicorn("build", recipe, *SHARED, cwd=recipe.parent)
    assert done.returncode == 0, done.stderr
    return rows_of(recipe.parent / "unicorn")


def rows_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {config: rows(folder, config) for config in ("pretrain", "instruction")}


def gpus_of_workers(scheduler: str, tls: Path) -> list[str]:
    """`CUDA_VISIBLE_DEVICES` of the two workers of a scheduler; certificate and key are in one file."""
    names = dict.fromkeys(["tls_ca_file", "tls_client_cert", "tls_client_key"], str(tls))
    security = Security(**names, require_encryption=True)
    with Client(scheduler, security=security, set_as_default=False, timeout=PATIENCE_S) as client:
        client.wait_for_workers(2)
        return list(client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values())


def add_environment(folder: Path) -> None:
    """Make an environment that finds the packages of the tests' own."""
    run([*UV, "venv", "--python", sys.executable, folder])
    [packages] = (folder / "lib").glob("python*/site-packages")
    packages.joinpath("tests_own.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")


def run(command: list[Any], **options: Any) -> str:
    """The output of a command that succeeds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
