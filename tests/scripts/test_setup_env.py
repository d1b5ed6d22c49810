"""The logic of the set-up: what it believes, what it makes again, what it mends. Nothing is installed here."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup_env = load_script("setup_env")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of all that the set-up reads."""
    for path in setup_env.INPUTS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


@pytest.fixture
def venv(tree: Path) -> Path:
    """An environment as a finished set-up leaves it, without the packages."""
    venv = tree / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (venv / "lib").joinpath(f"python{setup_env.python_version()}", "site-packages", "pip.py").touch()
    (venv / "bin" / "unicorn-hf").touch()
    setup_env.write_record(venv, setup_env.wanted_record(tree, "cpu"))
    return venv


def action(tree: Path, extras: str = "cpu") -> str:
    return setup_env.next_action(tree / ".venv", setup_env.wanted_record(tree, extras))[0]


class TestWhatIsBelieved:
    def test_a_fresh_clone_is_made(self, tree: Path) -> None:
        assert action(tree) == "make"

    def test_a_finished_environment_needs_nothing(self, tree: Path, venv: Path) -> None:
        assert action(tree) == "nothing"

    @pytest.mark.parametrize("path", setup_env.INPUTS, ids=str)
    def test_every_input_counts(self, tree: Path, venv: Path, path: Path) -> None:
        with (tree / path).open("a") as file:
            file.write("\n# changed\n")
        assert action(tree) == "update"

    def test_an_unfinished_set_up_is_made_again(self, tree: Path, venv: Path) -> None:
        setup_env.write_record(venv, {**setup_env.wanted_record(tree, "cpu"), "status": "installing"})
        assert action(tree) == "make"

    @pytest.mark.parametrize("content", ["", "{", "[]", '"ready"', "\x00"])
    def test_a_record_that_cannot_be_read_is_not_believed(self, tree: Path, venv: Path, content: str) -> None:
        (venv / setup_env.RECORD_NAME).write_text(content)
        assert action(tree) == "make"

    @pytest.mark.parametrize("key", ["extras", "python", "root"])
    def test_another_kind_python_or_place_is_made_again(self, tree: Path, venv: Path, key: str) -> None:
        setup_env.write_record(venv, {**setup_env.wanted_record(tree, "cpu"), key: "other"})
        assert action(tree) == "make"

    def test_the_other_extra_is_made_again(self, tree: Path, venv: Path) -> None:
        assert action(tree, "gpu") == "make"

    def test_a_missing_command_is_noticed(self, tree: Path, venv: Path) -> None:
        (venv / "bin" / "unicorn-hf").unlink()
        assert action(tree) == "update"

    def test_a_python_that_is_gone_is_noticed(self, tree: Path, venv: Path) -> None:
        for path in (venv / "bin").glob("python*"):
            path.unlink()
            path.symlink_to("/nowhere/python")
        assert action(tree) == "make"

    def test_an_environment_without_pip_is_made_again(self, tree: Path, venv: Path) -> None:
        (venv / setup_env.RECORD_NAME).unlink()
        next((venv / "lib").rglob("pip.py")).unlink()
        assert action(tree) == "make"

    def test_a_working_environment_of_someone_else_is_completed_not_removed(self, tree: Path, venv: Path) -> None:
        (venv / setup_env.RECORD_NAME).unlink()
        assert action(tree) == "update"


class Recorder:
    """Stands in for what runs pip and the environment's Python, and stops the set-up where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_at: str = "") -> None:
        self.steps: list[str] = []
        self._stop_at = stop_at
        monkeypatch.setattr(setup_env, "create", lambda venv: self._step("create"))
        monkeypatch.setattr(setup_env, "pip", lambda venv, *arguments, lock, root: self._step(f"pip {arguments[0]}"))
        monkeypatch.setattr(setup_env, "mend", lambda venv, *, lock, root: self._step("mend"))
        monkeypatch.setattr(setup_env, "check", lambda venv: self._step("check"))
        monkeypatch.setattr(setup_env, "index_options", lambda extras: [])
        monkeypatch.setattr(setup_env, "NEEDED_SPACE_GIB", {"cpu": 0, "gpu": 0})

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self._stop_at:
            raise setup_env.SetupError("stopped here")


class TestOrder:
    def test_the_record_is_written_last(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorder = Recorder(monkeypatch)
        setup_env.set_up(tree, tree / ".venv", "cpu", lock=-1)
        assert recorder.steps == ["create", "pip install", "pip install", "mend", "check"]
        assert setup_env.read_record(tree / ".venv") == setup_env.wanted_record(tree, "cpu")

    @pytest.mark.parametrize("stop_at", ["create", "pip install", "mend", "check"])
    def test_whatever_fails_the_next_run_starts_afresh(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch, stop_at: str
    ) -> None:
        Recorder(monkeypatch, stop_at)
        with pytest.raises(setup_env.SetupError):
            setup_env.set_up(tree, tree / ".venv", "cpu", lock=-1)
        (tree / ".venv" / "half-written").mkdir()
        assert action(tree) == "make"

        recorder = Recorder(monkeypatch)
        setup_env.set_up(tree, tree / ".venv", "cpu", lock=-1)
        assert recorder.steps[0] == "create"
        assert not (tree / ".venv" / "half-written").exists()

    def test_a_failed_update_is_not_believed_either(
        self, tree: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (tree / "pyproject.toml").open("a") as file:
            file.write("\n# changed\n")
        recorder = Recorder(monkeypatch, "pip install")
        with pytest.raises(setup_env.SetupError):
            setup_env.set_up(tree, venv, "cpu", lock=-1)
        assert recorder.steps == ["pip install"]
        assert action(tree) == "make"

    def test_a_full_disk_is_seen_before_the_download(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorder = Recorder(monkeypatch)
        monkeypatch.setattr(setup_env, "NEEDED_SPACE_GIB", {"cpu": 10**9})
        with pytest.raises(setup_env.SetupError, match="are needed"):
            setup_env.set_up(tree, tree / ".venv", "cpu", lock=-1)
        assert recorder.steps == []

    def test_emptying_keeps_the_record_and_what_links_point_to(self, tree: Path, venv: Path, tmp_path: Path) -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        (venv / "link").symlink_to(kept)
        setup_env.empty(venv)
        assert [path.name for path in venv.iterdir()] == [setup_env.RECORD_NAME]
        assert kept.is_dir()


class TestExtras:
    def test_what_is_asked_for_wins(self, tree: Path, venv: Path) -> None:
        assert setup_env.choose_extras("gpu", venv) == "gpu"

    def test_then_what_the_environment_was_made_for(self, venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup_env, "has_gpu", lambda: True)
        assert setup_env.choose_extras(None, venv) == "cpu"

    @pytest.mark.parametrize(("gpu", "extras"), [(True, "gpu"), (False, "cpu")])
    def test_then_the_machine(self, tree: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool, extras: str) -> None:
        monkeypatch.setattr(setup_env, "has_gpu", lambda: gpu)
        assert setup_env.choose_extras(None, tree / ".venv") == extras

    def test_an_unknown_name_is_an_error_with_the_known_ones(self, tree: Path) -> None:
        with pytest.raises(setup_env.SetupError, match="cpu, gpu"):
            setup_env.choose_extras("tpu", tree / ".venv")

    @pytest.mark.parametrize(
        ("script", "found"),
        [("echo 'GPU 0: NVIDIA'", True), ("echo 'No devices were found'", False), ("echo GPU; exit 9", False)],
    )
    def test_nvidia_smi_is_asked_not_only_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: bool
    ) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert setup_env.has_gpu() is found

    def test_the_gpu_build_of_torch_needs_no_other_index(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup_env, "answers", lambda url, timeout_s: pytest.fail("asked"))
        assert setup_env.index_options("gpu") == []

    @pytest.mark.parametrize("answer", [True, False])
    def test_the_cpu_index_is_used_only_where_it_answers(self, monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
        monkeypatch.setattr(setup_env, "answers", lambda url, timeout_s: answer)
        expected = ["--extra-index-url", setup_env.TORCH_CPU_INDEX] if answer else []
        assert setup_env.index_options("cpu") == expected

    def test_an_address_that_does_not_answer_is_no_error(self) -> None:
        assert setup_env.answers("http://127.0.0.1:9/", 2.0) is False


class TestPython:
    def test_an_unsupported_one_names_those_that_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 9, 2))
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(setup_env.SetupError, match=r"Python 3\.9; 3\.11 to 3\.14"):
            setup_env.use_supported_python()

    def test_it_looks_for_another_and_asks_whether_it_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, code in (("python3.13", 127), ("python3.12", 0)):
            (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
            (tmp_path / name).chmod(0o755)
        started: list[str] = []
        monkeypatch.setattr(sys, "version_info", (3, 9, 2))
        monkeypatch.setattr(os, "execv", lambda path, arguments: started.append(path) or sys.exit(0))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SystemExit):
            setup_env.use_supported_python()
        assert started == [str(tmp_path / "python3.12")]


class TestPip:
    @pytest.mark.parametrize(
        ("output", "advice"),
        [
            ("ERROR: No matching distribution found for torch==2.13.0+cpu", setup_env.TORCH_CPU_INDEX),
            ("OSError: [Errno 28] No space left on device", "disk is full"),
            ("NewConnectionError: Temporary failure in name resolution", "network"),
            ("something else", setup_env.LOG_NAME),
        ],
    )
    def test_a_failure_comes_with_advice(self, output: str, advice: str) -> None:
        assert advice in setup_env.advice_for(output)

    def test_a_failure_shows_the_last_lines_and_keeps_the_whole_output(self, tree: Path) -> None:
        venv = tree / ".venv"
        (venv / "bin").mkdir(parents=True)
        program = setup_env.venv_python(venv)
        program.write_text("#!/bin/sh\nfor i in $(seq 40); do echo line $i; done\nexit 3\n")
        program.chmod(0o755)
        lock = setup_env.take_lock(tree)
        with pytest.raises(setup_env.SetupError, match=r"code 3") as caught:
            setup_env.pip(venv, "install", lock=lock, root=tree)
        os.close(lock)
        assert "line 40" in str(caught.value) and "line 1\n" not in str(caught.value)
        assert "line 1\n" in (venv / setup_env.LOG_NAME).read_text()

    @pytest.mark.parametrize(
        ("line", "status"),
        [
            ("Collecting torch==2.13.0 (from vllm)", "resolving: torch==2.13.0"),
            ("Downloading https://host/a/b/numpy-2.0-cp311.whl (16.2 MB)", "downloading numpy-2.0-cp311.whl (16.2 MB)"),
            ("Installing collected packages: a, b, c", "installing 3 packages (the longest part)"),
            ("Requirement already satisfied: a", ""),
            ("", ""),
        ],
    )
    def test_the_status_line(self, line: str, status: str) -> None:
        assert setup_env.status_of(line) == status


FAKE_TORCH = """
class Library:
    def __init__(self, namespace, kind):
        self.namespace, self.kind, self.schemas = namespace, kind, []
    def define(self, schema):
        self.schemas.append(schema)
"""


class TestTorchvisionOperators:
    """The module that mends torchvision, with stand-ins for torch and torchvision."""

    @pytest.fixture
    def packages(self, tmp_path: Path) -> Path:
        for name in ("torch", "torchvision"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / "torch" / "library.py").write_text(FAKE_TORCH)
        (tmp_path / "torchvision" / "__init__.py").write_text("from torchvision import extension\n")
        shutil.copy(ROOT / setup_env.SHIM_SOURCE, tmp_path / f"{setup_env.SHIM_NAME}.py")
        return tmp_path

    def run(self, packages: Path, code: str, has_ops: bool) -> str:
        (packages / "torchvision" / "extension.py").write_text(f"def _has_ops():\n    return {has_ops}\n")
        code = f"import sys; sys.path.insert(0, {str(packages)!r}); import {setup_env.SHIM_NAME}\n{code}"
        return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout

    def test_declares_the_schemas_where_the_operators_are_missing(self, packages: Path) -> None:
        code = "import torchvision.extension as e\nprint(e._declared_schemas.namespace, e._declared_schemas.schemas)"
        output = self.run(packages, code, has_ops=False)
        assert output.startswith("torchvision ['nms(Tensor dets,") and "'qnms(Tensor dets," in output

    def test_leaves_a_torchvision_that_has_them_alone(self, packages: Path) -> None:
        code = "import torchvision.extension as e\nprint(hasattr(e, '_declared_schemas'), 'torch' in sys.modules)"
        assert self.run(packages, code, has_ops=True).split() == ["False", "False"]

    def test_costs_nothing_until_torchvision_is_imported(self, packages: Path) -> None:
        code = f"import sys\nbefore = set(sys.modules)\nimport {setup_env.SHIM_NAME}\nprint(set(sys.modules) - before)"
        assert self.run(packages, code, has_ops=False).strip() == "set()"

    def test_is_put_in_place_and_taken_away(self, tree: Path, venv: Path) -> None:
        packages = setup_env.site_packages(venv)
        setup_env.install_shim(venv, packages, tree)
        code = f"import sys; print({setup_env.SHIM_NAME!r} in sys.modules)"
        command = [setup_env.venv_python(venv), "-c", code]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "True"
        setup_env.remove_shim(packages)
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (answer.stdout.strip(), answer.stderr) == ("False", "")


class TestMend:
    """Which companions of torch are removed or mended, by what happens when each is imported."""

    @pytest.fixture
    def world(self, tree: Path, venv: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str | None]]:
        """What each installed module's imports say, in order; the last answer stays."""
        answers: dict[str, list[str | None]] = {}

        def import_error(venv: Path, module: str) -> str | None:
            return answers[module].pop(0) if len(answers[module]) > 1 else answers[module][0]

        monkeypatch.setattr(setup_env, "installed", lambda venv, names: tuple(n for n in names if n in answers))
        monkeypatch.setattr(setup_env, "import_error", import_error)
        return answers

    def mend(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], bool]:
        removed: list[str] = []
        monkeypatch.setattr(setup_env, "pip", lambda venv, *arguments, lock, root: removed.append(arguments[-1]))
        setup_env.mend(tree / ".venv", lock=-1, root=tree)
        return removed, (setup_env.site_packages(tree / ".venv") / f"{setup_env.SHIM_NAME}.pth").exists()

    def test_nothing_is_touched_where_all_load(self, tree, world, monkeypatch) -> None:
        world.update(torchaudio=[None], torchcodec=[None], torchvision=[None])
        assert self.mend(tree, monkeypatch) == ([], False)

    def test_cuda_builds_beside_a_cpu_torch(self, tree, world, monkeypatch) -> None:
        missing = "RuntimeError: operator torchvision::nms does not exist"
        world.update(torchaudio=["OSError: x"], torchcodec=["OSError: x"], torchvision=[missing, None])
        assert self.mend(tree, monkeypatch) == (["torchaudio", "torchcodec"], True)

    def test_a_torchvision_that_fails_otherwise_is_an_error(self, tree, world, monkeypatch) -> None:
        world.update(torchvision=["ImportError: libpng"])
        with pytest.raises(setup_env.SetupError, match="libpng"):
            self.mend(tree, monkeypatch)

    def test_a_shim_that_is_no_longer_needed_goes(self, tree, venv, world, monkeypatch) -> None:
        setup_env.install_shim(venv, setup_env.site_packages(venv), tree)
        world.update(torchvision=[None])
        assert self.mend(tree, monkeypatch) == ([], False)


def test_every_base_dependency_has_a_floor_that_ci_can_install() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floors = load_script("floors").floors(pyproject["project"]["dependencies"])
    assert len(floors) == len(pyproject["project"]["dependencies"])
    assert all("==" in floor and "[" not in floor for floor in floors)


def test_the_record_is_json_that_a_person_can_read(tree: Path, venv: Path) -> None:
    record = json.loads((venv / setup_env.RECORD_NAME).read_text())
    assert {key: record[key] for key in ("status", "extras")} == {"status": "ready", "extras": "cpu"}
