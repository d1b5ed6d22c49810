"""Real steps of a projector in front of the demonstration's language model, on a set built here."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests import warm
from tests.builds import SHARED, unicorn, write_seeds
from tests.hub.fixtures import ROOT

pytestmark = [pytest.mark.real, pytest.mark.slow]

EXAMPLE = ROOT / "examples" / "train_projector.py"
NUM_STEPS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user is who has built a small set with the demonstration's encoder."""
    folder = tmp_path_factory.mktemp("user")
    seeds = write_seeds(folder / "seeds.txt", 40)
    done = unicorn(
        *("build", "--seeds", seeds, "--captions", 24, "--instructions", 4),
        *("--engine", "echo", "--encoder", "open_clip:demo:minilm", "--out", "unicorn", *SHARED),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The example as a script."""
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder / "cache")}
    line = ["-c", code, str(EXAMPLE), *map(str, arguments)]
    return warm.run(line, cwd=folder, environment=environment, timeout_s=500, imports="torch")


def test_the_loss_goes_down_and_a_picture_is_described(folder: Path) -> None:
    done = run(folder, "--rows", 8, "--batch-size", 2, "--steps", NUM_STEPS, "--new-tokens", 5)
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"^step +\d+ of \d+: loss (\S+)$", done.stdout, re.MULTILINE)]
    assert len(losses) == NUM_STEPS
    first, last = re.findall(r"first \d+ steps: (\S+), of the last \d+: (\S+)", done.stdout)[0]
    assert float(last) < float(first)
    assert re.search(r"^\S+\.png \(.+\): .+", done.stdout, re.MULTILINE)
    weights = load_file(folder / "projector.safetensors")
    assert {name: weight.shape for name, weight in weights.items()} == {
        "layers.0.weight": (576, 384),
        "layers.0.bias": (576,),
        "layers.2.weight": (4 * 576, 576),
        "layers.2.bias": (4 * 576,),
    }


def test_what_is_wrong_is_told_without_a_traceback(folder: Path) -> None:
    for arguments, told in (
        (["--set", "nowhere"], "Cannot load the set nowhere"),
        (["--llm", "demo:nobody"], "no demonstration language model"),
    ):
        done = run(folder, *arguments)
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
