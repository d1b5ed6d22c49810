"""SkyPilot takes its file, and two nodes on this machine run its scripts: killed in the middle, they go on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml

from tests.docs.blocks import ROOT
from tests.examples.clusters.conftest import EXAMPLES, UV, add_environment, gpus_of_workers, rows_of, run
from tests.runtime.dask_cluster import PATIENCE_S
from tests.test_release import source_files
from unicorn_hf.runtime.storage import place

pytestmark = pytest.mark.slow

FILE = EXAMPLES / "skypilot.yaml"
READ = """
import json, sys
import sky
from sky.skylet import log_lib
task = sky.Task.from_yaml(sys.argv[1])
[resources] = task.resources
print(json.dumps({
    "nodes": task.num_nodes,
    "gpus": resources.accelerators,
    "spot": resources.use_spot,
    "recovery": resources.job_recovery,
    "variables": task.envs,
    "setup": log_lib.make_task_bash_script(task.setup),
    "run": log_lib.make_task_bash_script(task.run),
}))
"""


@pytest.fixture(scope="module")
def task(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The task as SkyPilot reads it, with the scripts that it gives to its machines."""
    home = tmp_path_factory.mktemp("home")
    command = ["env", f"HOME={home}", "SKYPILOT_DISABLE_USAGE_COLLECTION=1", environment / "python", "-c", READ, FILE]
    found: dict[str, Any] = json.loads(run(command).splitlines()[-1])
    return found


def certificate() -> str:
    """Made by the command in the file."""
    lines = FILE.read_text().splitlines()
    [start] = [number for number, line in enumerate(lines) if "export TLS=" in line]
    command = "\n".join(line.removeprefix("#") for line in lines[start : start + 2])
    return run(["bash", "-euc", f'{command}\nprintf %s "$TLS"'])


def test_it_asks_for_machines_that_are_replaced(task: dict[str, Any]) -> None:
    assert task["nodes"] == 2
    assert task["spot"] is True
    assert task["recovery"]["max_restarts_on_errors"] == 3
    [gpus] = task["gpus"].values()
    assert gpus % int(task["variables"]["GPUS_PER_WORKER"]) == 0


def test_it_has_no_secrets(task: dict[str, Any]) -> None:
    assert not {"TLS", "HF_TOKEN"} & set(task["variables"])
    key = certificate()
    assert "PRIVATE KEY" in key
    assert "BEGIN CERTIFICATE" in key


@pytest.mark.parametrize("section", ["setup", "run"])
def test_shellcheck_finds_nothing(environment: Path, task: dict[str, Any], section: str) -> None:
    code = yaml.safe_load(FILE.read_text())[section]
    assert run([environment / "shellcheck", "--shell", "bash", "-"], input=code) == ""


class Machines:
    """Two of them, which are both this machine, with one home folder."""

    def __init__(self, home: Path, task: dict[str, Any], variables: dict[str, str]) -> None:
        self.home = home
        self._task = task
        net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.scheduler = f"tls://{net}.1:8786"
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._variables = {
            **clean,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            **task["variables"],
            **variables,
            "HOME": str(home),
            "SKYPILOT_NODE_IPS": f"{net}.1\n{net}.2",
        }
        (home / "sky_workdir").mkdir(parents=True)

    def start(self, section: str, rank: int, num_gpus: int = 0) -> "subprocess.Popen[bytes]":
        """Run a section of the task on one of them."""
        node = {"SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_GPUS_PER_NODE": str(num_gpus)}
        variables = {**self._variables, **node}
        command = ["bash", "-c", self._task[section]]
        with (self.home / "log").open("a") as log:
            return subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()


def test_machines_that_are_taken_away_cost_no_row(
    task: dict[str, Any], recipe: Path, expected: dict[str, Any], s3: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for name in source_files():
        if name.startswith("unicorn_hf/") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    # The setup installs the package alone, on top of the tests' own packages. The program `dask` comes with Dask.
    (tmp_path / "uv.toml").write_text("[pip]\nno-deps = true\nno-build-isolation = true\n")
    own = tmp_path / "home" / "unicorn"
    add_environment(own)
    run([*UV, "pip", "install", "--python", own / "bin" / "python", "--no-deps", f"dask=={dask.__version__}"])
    variables = {
        "BUILD": str(recipe),
        "WORK": s3,
        "PACKAGE": f"unicorn-hf[s3] @ {source.as_uri()}",
        "TLS": certificate(),
        "UV_CONFIG_FILE": str(tmp_path / "uv.toml"),
    }
    machines = Machines(tmp_path / "home", task, variables)
    assert machines.start("setup", 0).wait(PATIENCE_S) == 0, machines.log

    first = [machines.start("run", rank, num_gpus=4) for rank in range(2)]
    (tmp_path / "tls.pem").write_text(variables["TLS"])
    assert gpus_of_workers(machines.scheduler, tmp_path / "tls.pem") == ["0,1,2,3", "0,1,2,3"]
    deadline = time.monotonic() + PATIENCE_S
    while len(list(place(s3).glob("captions-*/*.json"))) < 3:
        assert time.monotonic() < deadline, machines.log
        assert all(process.poll() is None for process in first), machines.log
        time.sleep(0.1)
    for process in first:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    second = [machines.start("run", rank) for rank in range(2)]
    assert [process.wait(PATIENCE_S) for process in second] == [0, 0], machines.log
    assert rows_of(machines.home / "unicorn.set") == expected
    events = [json.loads(line)["event"] for line in (place(s3) / "log.jsonl").read_text().splitlines()]
    assert events.count("started") == 2
    assert "dashboard" not in machines.log
