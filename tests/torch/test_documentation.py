"""The code of docs/training.md, run from its first line to its last; and what importing the package imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.warm import ROOT
from unicorn_hf.models.demo_models import demo_llm

pytestmark = pytest.mark.slow


@pytest.mark.real
def test_the_documented_code_runs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "unicorn").symlink_to(folder)
    blocks = (ROOT / "docs" / "training.md").read_text().split("```python\n")[1:]
    code = "\n".join(block.partition("```")[0] for block in blocks)
    assert code.count("Qwen/Qwen2.5-0.5B-Instruct") == 2
    code = code.replace("Qwen/Qwen2.5-0.5B-Instruct", str(demo_llm("smollm2-135m-instruct")))
    code += "\nassert loss.item() > 0 and projector[0].weight.grad.abs().sum() > 0 and len(data) == 101\n"
    done = warm.run(["-c", code], cwd=tmp_path, environment=os.environ, timeout_s=500, imports="torch")
    assert done.returncode == 0, done.stderr


def test_the_package_imports_no_torch_unless_asked() -> None:
    code = "import sys, unicorn_hf, unicorn_hf.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
