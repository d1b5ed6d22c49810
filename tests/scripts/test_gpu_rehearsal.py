"""The benchmarks for a GPU work: each as in a rehearsal of the day on one."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts.test_gpu_day import day

pytestmark = [pytest.mark.slow, pytest.mark.real]
__all__ = ["day"]


@pytest.mark.parametrize(
    ("name", "num_figures"), [pytest.param("benchmark-7b", 2, marks=pytest.mark.soak), ("encoder-small", 3)]
)
def test_a_benchmark_tells_its_figures(day: ModuleType, name: str, num_figures: int, tmp_path: Path) -> None:
    (step,) = [step for step in day.steps(rehearse=True) if step.name == name]
    command, environment = [sys.executable, *step.command], day.environment_of(tmp_path)
    done = subprocess.run(command, cwd=day.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(step.figure, done.stdout, re.MULTILINE)) == num_figures
