"""What is installed beside this package: versions and what they demand of each other, and whether it all loads."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

_TIMEOUT_S = 300
_MARK = "unicorn-hf:"
_PROBE = f"""
import importlib, json, sys
def tell(**facts):
    print({_MARK!r} + json.dumps(facts), flush=True)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        tell(loads=name, error=None)
    except BaseException as error:
        line = (str(error).strip().splitlines() or [""])[0]
        tell(loads=name, error=f"{{type(error).__name__}}: {{line}}"[:300])
if "torch" in sys.modules:
    import torch
    try:
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        tell(cuda=torch.version.cuda, gpus=[[gpu.name, gpu.total_memory] for gpu in gpus])
    except Exception as error:
        tell(cuda=torch.version.cuda, gpus=[], error=str(error)[:300])
"""
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True)
class Mismatch:
    """A package that another one cannot go with."""

    package: str
    """Who demands it, with its version."""
    requirement: str
    """What it demands, as pip takes it."""
    found: str
    """The version that is installed instead."""


@dataclass(frozen=True)
class TorchFacts:
    """What torch says of itself."""

    cuda: str | None
    """The CUDA version that it was built for; None for a CPU build."""
    gpus: tuple[tuple[str, int], ...]
    """Name and bytes of memory of the GPUs that it can use."""


@dataclass(frozen=True)
class Loaded:
    """What came of importing."""

    errors: dict[str, str | None]
    """By module: why it does not load, or None where it does."""
    torch: TorchFacts | None
    """None where torch does not load, or was not asked for."""


def installed_version(package: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def mismatches(packages: Iterable[str]) -> list[Mismatch]:
    """What the metadata of the installed `packages` demands and another version is there of.

    What is demanded and absent is left out: set-ups leave away what they do not need.
    """
    from packaging.requirements import Requirement

    found = []
    for package in packages:
        own = installed_version(package)
        for line in (requires(package) or ()) if own else ():
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            there = installed_version(requirement.name)
            if there and not requirement.specifier.contains(there, prereleases=True):
                wanted = f"{requirement.name}{requirement.specifier}"
                found.append(Mismatch(f"{package} {own}", wanted, there))
    return found


def try_loading(modules: Sequence[str]) -> Loaded:
    """Import `modules`, in this order, in a process of its own: it may crash, print and take memory as it likes.

    The process is given no variable of the environment that may hold a secret. A module whose import ends the process
    has that as its error, and so have those after it.
    """
    environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    command = [sys.executable, "-c", _PROBE, *modules]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        output, ending = done.stdout, f"importing it ended the process with code {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        ending = f"importing it takes more than {_TIMEOUT_S} s"
    facts = [json.loads(line.removeprefix(_MARK)) for line in output.splitlines() if line.startswith(_MARK)]
    errors: dict[str, str | None] = {fact["loads"]: fact["error"] for fact in facts if "loads" in fact}
    errors |= {module: ending for module in modules if module not in errors}
    torch = next((fact for fact in facts if "cuda" in fact), None)
    if torch is None:
        return Loaded(errors, None)
    return Loaded(errors, TorchFacts(torch["cuda"], tuple((name, num_bytes) for name, num_bytes in torch["gpus"])))
