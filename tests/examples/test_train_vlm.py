"""Both stages on a small set with a tiny model: what is learned, killed, resumed, shared by processes, and saved."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import warm
from tests.docs.blocks import ROOT
from tests.vlm import SET, write_language_model
from unicorn_hf.core.errors import UnicornError
from unicorn_hf.vlm import UnicornForConditionalGeneration

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "train_vlm.py"
NUM_STEPS = 6
STEPS = ["--max_steps", NUM_STEPS, "--save_steps", 2, "--logging_steps", 1, "--sample_steps", 3]
STAGE_1 = ["--stage", 1, "--set", SET, "--learning_rate", 0.01, "--use_cpu", *STEPS]
KILLED = """
import os, runpy, signal, sys
from transformers import Trainer
log = Trainer.log
def killing(self, logs, *rest):
    if self.state.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    log(self, logs, *rest)
Trainer.log = killing
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("language-model"))


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    return lambda *arguments: trained(monkeypatch, *arguments)


def trained(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: object) -> Path:
    """Run the example in this process, for it imports for long."""
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), *map(str, arguments), "--output_dir", str(folder)])
    spec = importlib.util.spec_from_file_location("train_vlm", EXAMPLE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "train_vlm", module)
    spec.loader.exec_module(module)
    module.main()
    return folder


@pytest.fixture(scope="module")
def stage_1(language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a first stage that nothing stopped, with four rows a step."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        options = ["--llm", language_model, *STAGE_1, "--per_device_train_batch_size", 4]
        return trained(monkeypatch, tmp_path_factory.mktemp("stage-1"), *options)


def logged(folder: Path, key: str = "loss") -> list[Any]:
    state = json.loads((folder / f"checkpoint-{NUM_STEPS}" / "trainer_state.json").read_bytes())
    return [entry[key] for entry in state["log_history"] if key in entry]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = UnicornForConditionalGeneration.from_pretrained(folder).state_dict()
    return found


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The first parts of the names of weights that differ."""
    assert before.keys() == after.keys()
    return {name.partition(".")[0] for name, weight in before.items() if not torch.equal(weight, after[name])}


def test_stage_1_trains_the_projector_alone(stage_1: Path, language_model: Path) -> None:
    losses = logged(stage_1)
    assert len(losses) == NUM_STEPS
    # A pass over the rows takes two steps.
    assert sum(losses[-2:]) < sum(losses[:2])
    new = UnicornForConditionalGeneration.from_language_model(str(language_model), SET)
    assert changed(new.state_dict(), weights(stage_1)) == {"projector"}


def test_samples_are_logged_beside_the_loss(stage_1: Path) -> None:
    questions, answers = logged(stage_1, "question"), logged(stage_1, "answer")
    assert len(questions) == len(answers) == NUM_STEPS // 3
    assert questions[0].startswith("<image>")


def test_a_killed_run_goes_on_with_the_same_losses(
    stage_1: Path, language_model: Path, train: Train, tmp_path: Path
) -> None:
    arguments = ["--llm", language_model, *STAGE_1, "--per_device_train_batch_size", 4]
    line = ["-c", KILLED, str(EXAMPLE), *map(str, arguments), "--output_dir", str(tmp_path)]
    done = warm.run(line, cwd=tmp_path, environment=os.environ, imports="torch")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "config.json").exists()
    # Killed while it wrote the next one.
    (tmp_path / "checkpoint-5").mkdir()
    train(tmp_path, *arguments)
    assert logged(tmp_path) == pytest.approx(logged(stage_1), abs=1e-5)
    assert changed(weights(stage_1), weights(tmp_path)) <= {"projector"}
    for name, weight in weights(stage_1).items():
        torch.testing.assert_close(weights(tmp_path)[name], weight, rtol=0, atol=1e-5)


def test_two_processes_take_the_steps_of_one(stage_1: Path, language_model: Path, tmp_path: Path) -> None:
    arguments = ["--llm", language_model, *STAGE_1, "--per_device_train_batch_size", 2, "--ddp_backend", "gloo"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(EXAMPLE)]
    line = [*launch, *map(str, arguments), "--output_dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert logged(tmp_path) == pytest.approx(logged(stage_1), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "parts", "told"),
    [
        (["--lora", 4], {"projector", "language_model"}, "adapters of rank 4"),
        (["--lora", 0, "--gradient_checkpointing"], {"projector", "language_model"}, "all weights"),
        (["--lora", 4, "--streaming", "--noise", 0.5], {"projector", "language_model"}, "adapters of rank 4"),
    ],
    ids=["adapters", "all", "stream"],
)
def test_stage_2_trains_the_language_model_too(
    options: list[object], parts: set[str], told: str, stage_1: Path, train: Train, tmp_path: Path
) -> None:
    steps = ["--max_steps", 2, "--per_device_train_batch_size", 2, "--use_cpu"]
    train(tmp_path, "--stage", 2, "--set", SET, "--model", stage_1, *options, *steps)
    assert changed(weights(stage_1), weights(tmp_path)) == parts
    card = (tmp_path / "README.md").read_text()
    assert "| stage | 1 | 2 |" in card
    assert told in card
    assert "| learning rate | 0" in card


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--set", "/nowhere"], "no data set at /nowhere"),
        (["--set", SET, "--llm", "demo:nobody"], "no demonstration language model"),
        (["--set", SET, "--model", "STAGE_1", "--image_statistics", "/nowhere"], "no file /nowhere"),
    ],
    ids=["set", "language model", "statistics"],
)
def test_what_is_wrong_is_told(
    arguments: list[object], error: str, stage_1: Path, train: Train, tmp_path: Path
) -> None:
    given = [stage_1 if argument == "STAGE_1" else argument for argument in arguments]
    with pytest.raises(UnicornError, match=error):
        train(tmp_path, *given, "--use_cpu")
