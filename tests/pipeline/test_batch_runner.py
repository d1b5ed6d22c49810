"""Requests as a file through vLLM's own batch runner, on the CPU, with the demonstration model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import rows, unicorn
from unicorn_hf.engines import VllmEngine
from unicorn_hf.models.demo_models import LLMS, demo_llm

pytestmark = [pytest.mark.real, pytest.mark.slow]

CAPTIONS = 60


@pytest.mark.timeout(1500)
def test_captions_by_the_batch_runner(tmp_path: Path) -> None:
    (name,) = LLMS
    model = demo_llm(name)
    options = ["demo", "--engine", "batch", "--llm", model, "--captions", CAPTIONS, "--instructions", 0]
    options += ["--encoder", "hashing:16"]
    num_rounds = 0
    while True:
        done = unicorn("requests", "export", *options, "--file", "requests.jsonl", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if "All answers are stored" in done.stdout:
            break
        num_rounds += 1
        answer(model, tmp_path / "requests.jsonl", tmp_path / "answers.jsonl")
        found = unicorn("requests", "collect", *options, "--file", "answers.jsonl", "--json", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        told = json.loads(found.stdout)
        assert told["stored"] > 0, (tmp_path / "answers.jsonl").read_text()[:1000]
        assert told["stored"] == len((tmp_path / "requests.jsonl").read_text().splitlines())
        assert told["unanswered"] == told["foreign"] == 0
    assert 1 <= num_rounds <= 4
    done = unicorn("build", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "unicorn", "pretrain")) == CAPTIONS


def answer(model: Path, requests: Path, answers: Path) -> None:
    runner = [sys.executable, "-m", "vllm.entrypoints.openai.run_batch", "-i", str(requests), "-o", str(answers)]
    settings = ["--model", str(model), "--dtype", "bfloat16", "--max-model-len", "1024", "--max-num-seqs", "32"]
    settings += ["--enforce-eager", "--no-enable-chunked-prefill"]
    engine = VllmEngine(model=str(model), cpu_kvcache_gib=1)
    environment = os.environ | engine.environment(2) | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*runner, *settings], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
