"""A real Slurm of two nodes, which are both this machine. It runs as the user of the tests and needs no cgroups.

The nodes claim 32 cores and four GPUs each.
"""

import getpass
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.runtime.dask_cluster import PATIENCE_S

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
IS_INSTALLED = all(shutil.which(name, path=PATH) for name in ("munged", "slurmctld", "slurmd", "sbatch"))
_SETTINGS = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=32 RealMemory=512000 Gres=gpu:4
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=32 RealMemory=512000 Gres=gpu:4
PartitionName=gpu Nodes=ALL Default=YES State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """Two nodes that run jobs."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """With these, commands find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: object, cwd: Path | None = None, **environment: str) -> str:
        """The output of one of Slurm's commands."""
        variables = {**os.environ, **self.variables, **environment}
        done = subprocess.run([*map(str, command)], cwd=cwd, env=variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows about a job: `JobState` and so on."""
        shown = self.run("scontrol", "show", "job", number, "--oneliner")
        return {name: value for name, _, value in (part.partition("=") for part in shown.split())}

    def wait_until(self, is_so: Callable[[], bool], what: str, log: Path | None = None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, what + (log.read_text() if log and log.exists() else "")
            time.sleep(0.2)


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Start it in `folder`, whose path is short: that of a socket has at most 107 characters."""
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    (folder / "state").mkdir()
    devices = ("null", "zero", "full", "random")  # Any devices will do.
    (folder / "gres.conf").write_text("".join(f"Name=gpu File=/dev/{device}\n" for device in devices))
    settings = _SETTINGS.format(host=platform.node(), user=getpass.getuser(), folder=folder, ports=_free_ports())
    (folder / "slurm.conf").write_text(settings)
    files = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "pid-file", "seed-file")]
    files += [f"--key-file={folder}/munge.key", f"--log-file={folder}/munge.log"]
    with ExitStack() as started:
        for command in (
            ["munged", "--foreground", "--force", *files],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D", "-N", "n1"],
            ["slurmd", "-D", "-N", "n2"],
        ):
            started.enter_context(_running(command, folder))
        found = Slurm(folder)
        found.wait_until(lambda: found.run("sinfo", "--noheader", "--format=%T") == "idle", "no idle nodes")
        yield found
        found.run("scancel", "--user", getpass.getuser())
        found.wait_until(lambda: not found.run("squeue", "--noheader"), "jobs that do not end")


def _free_ports() -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        return [found.getsockname()[1] for found in sockets]


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    variables = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    with (folder / f"{command[0]}.output").open("ab") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
