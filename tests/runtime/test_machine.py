"""The machine is told by its GPUs and its processor."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from unicorn_hf.runtime.machine import machine


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    machine.cache_clear()
    yield
    machine.cache_clear()


def nvidia_smi(folder: Path, script: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_gpus_are_counted_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, "echo 'NVIDIA H100'; echo 'NVIDIA H100'; echo 'NVIDIA A10'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert machine().startswith("1 × NVIDIA A10, 2 × NVIDIA H100, ")
    assert f"{len(os.sched_getaffinity(0))} cores of " in machine()


@pytest.mark.parametrize("script", ["echo 'No devices were found'; exit 6", None])
def test_without_gpus(script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if script:
        nvidia_smi(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine().startswith(f"{len(os.sched_getaffinity(0))} cores of ")
