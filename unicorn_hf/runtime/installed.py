"""The packages installed beside this one: their versions, conflicts between them, and whether they import."""

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
    """An installed package that violates the requirement of another one."""

    package: str
    """The package that requires it, with its version."""
    requirement: str
    found: str


@dataclass(frozen=True)
class TorchFacts:
    """Torch's own report about CUDA."""

    cuda: str | None
    """The CUDA version that torch was built for; None for a CPU build."""
    gpus: tuple[tuple[str, int], ...]
    """Name and memory in bytes of each usable GPU."""


@dataclass(frozen=True)
class Loaded:
    """The result of the imports."""

    errors: dict[str, str | None]
    """By module: why the import failed, or None if it succeeded."""
    torch: TorchFacts | None
    """None if torch does not load, or was not requested."""


def installed_version(package: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def mismatches(packages: Iterable[str]) -> list[Mismatch]:
    """Requirements of the installed `packages` that the installed versions violate.

    Requirements that are not installed are ignored: an installation may omit what it does not use.
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
    """Import `modules` in this order in a subprocess, which may crash, print and use memory freely.

    The subprocess gets no environment variable that may hold a secret. When an import ends the process, that is the
    error of this module and of those after it.
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
