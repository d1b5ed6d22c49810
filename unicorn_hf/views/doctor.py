"""Check what a build needs on this machine, what is missing, and how to fix it."""

import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.encoder import AnyEncoder, parse_encoder
from unicorn_hf.core.engine import AnyEngine
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.packages import packages_of_all
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.engines.endpoint import API_KEY
from unicorn_hf.hub.standing import HubStanding, hub_standing
from unicorn_hf.models.demo_models import INSTALL, missing_packages
from unicorn_hf.runtime.installed import Loaded, Mismatch, installed_version, mismatches, try_loading
from unicorn_hf.runtime.machine import Gpu, cpu_count, gpus, processor
from unicorn_hf.views.tables import described

if TYPE_CHECKING:
    from rich.console import Console

_BASE = ("unicorn-hf", "datasets", "huggingface_hub", "pyarrow", "numpy", "dask", "distributed")
_OPTIONAL = ("dask-cuda", "torchvision")
_CONSTRAINING = ("rapids-dask-dependency",)
"""Packages that are not listed, but constrain versions of others."""
# transformers and vLLM import them if installed, so they must load.
_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class Disk(BaseModel):
    """A large folder, and the free space on its disk."""

    purpose: str
    path: Path
    num_free_bytes: int


class Checkup(BaseModel):
    """The results. No field contains a token, a key or a part of one."""

    recipe: str
    python: str
    platform: str
    packages: dict[str, str | None]
    """Versions by the name of the distribution; None if not installed."""
    loading: dict[str, str | None]
    """Import errors by module; None if the import succeeds."""
    torch_cuda: str | None
    """The CUDA version that torch was built for; None for a CPU build, or no torch."""
    gpus: list[Gpu]
    processor: str
    num_cores: int
    """Cores that this process may use."""
    num_memory_bytes: int
    """Memory that this process may use: the machine's, or a container's limit."""
    disks: list[Disk]
    num_needed_disk_bytes: int
    """Estimated disk space of a build, without models."""
    hub: HubStanding
    endpoint_key: bool
    """Whether the environment has a key for servers."""
    findings: list[Finding]

    @property
    def can_build(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)


def examine(recipe: Recipe, work_dir: Path, num_disk_bytes: int, *, obstacle: InputError | None = None) -> Checkup:
    """Check the machine, the environment and the Hub; takes as long as importing what the recipe needs.

    Args:
        recipe: the recipe to build.
        work_dir: its work folder, which need not exist.
        num_disk_bytes: estimated size of work folder and built folder.
        obstacle: the error that the build would start with.
    """
    from distributed.system import MEMORY_LIMIT

    used: list[AnyEncoder | AnyEngine] = [parse_encoder(recipe.representations.encoder)]
    used += [] if recipe.takes_text else [recipe.engine]
    needed = list(dict.fromkeys(module for choice in used for module in choice.modules))
    names = list(dict.fromkeys([*_BASE, *_OPTIONAL, *packages_of_all()]))
    companions = [name for name in _COMPANIONS if find_spec(name)] if needed else []
    loaded = try_loading([*needed[:1], *companions, *needed[1:]])
    by_torch = [Gpu(name=name, num_bytes=num_bytes) for name, num_bytes in loaded.torch.gpus] if loaded.torch else []
    checkup = Checkup(
        recipe=recipe.name,
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: installed_version(name) for name in names},
        loading=loaded.errors,
        torch_cuda=loaded.torch.cuda if loaded.torch else None,
        gpus=gpus() or by_torch,
        processor=processor(),
        num_cores=cpu_count(),
        num_memory_bytes=MEMORY_LIMIT,
        disks=list(_disks(work_dir)),
        num_needed_disk_bytes=num_disk_bytes,
        hub=hub_standing(),
        endpoint_key=bool(os.environ.get(API_KEY)),
        findings=[],
    )
    refused = _error(obstacle.message, obstacle.advice) if obstacle else None
    findings = [
        *filter(None, [refused]),
        *_of_choices(checkup, used, needed, runs_workers=recipe.cluster.kind in ("auto", "local", "cuda")),
        *_of_models(recipe, used),
        *_of_gpus(checkup, loaded),
        *_of_environment(checkup, mismatches([*names, *_CONSTRAINING]), refused),
    ]
    return checkup.model_copy(update={"findings": sorted(findings, key=lambda finding: finding.severity)})


def _error(message: str, fix: str) -> Finding:
    return Finding(severity="error", message=message, fix=fix)


def _warning(message: str, fix: str) -> Finding:
    return Finding(severity="warning", message=message, fix=fix)


def _disks(work_dir: Path) -> Iterator[Disk]:
    from datasets import config
    from huggingface_hub import constants

    places = {
        "work folder": work_dir,
        "HF_HUB_CACHE": Path(constants.HF_HUB_CACHE),
        "HF_DATASETS_CACHE": Path(config.HF_DATASETS_CACHE),
        "temporary files": Path(tempfile.gettempdir()),
    }
    for purpose, path in places.items():
        path = path.expanduser().absolute()
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        yield Disk(purpose=purpose, path=path, num_free_bytes=shutil.disk_usage(there).free)


def _install(checkup: Checkup) -> str:
    if checkup.gpus:
        return "pip install 'unicorn-hf[gpu]'"
    return f"pip install 'unicorn-hf[cpu]' --extra-index-url {_CPU_INDEX}"


def _of_choices(
    checkup: Checkup, used: Sequence[AnyEncoder | AnyEngine], needed: Sequence[str], *, runs_workers: bool
) -> Iterator[Finding]:
    """Findings of engine and encoder, and their modules that are not installed or do not load."""
    absent = [name for name in needed if not find_spec(name)]
    machine = Machine(
        gpus=tuple(gpu.num_bytes for gpu in checkup.gpus),
        packages=checkup.packages,
        absent=tuple(absent),
        runs_workers=runs_workers,
        install=_install(checkup),
    )
    found = [finding for choice in used for finding in choice.check_machine(machine)]
    yield from found
    if missing := [name for name in absent if name not in {finding.module for finding in found}]:
        yield _error(f"not installed: {', '.join(missing)}", _install(checkup))
    for name, error in checkup.loading.items():
        if error and name not in absent:
            yield _error(f"{name} does not load: {error}", _mend(checkup, name))


def _mend(checkup: Checkup, module: str) -> str:
    if module in ("torchaudio", "torchcodec"):  # Only speech and video models use them.
        return f"pip uninstall {module}"
    (package, *_) = packages_distributions().get(module, [module])
    cpu = package in ("torch", "torchvision") and not checkup.gpus
    return f"pip install --force-reinstall --no-deps {package}" + (f" --index-url {_CPU_INDEX}" if cpu else "")


def _of_models(recipe: Recipe, used: Sequence[AnyEncoder | AnyEngine]) -> Iterator[Finding]:
    llm = recipe.engine in used and recipe.engine.is_demo
    if missing := missing_packages(llm=llm, encoder=parse_encoder(recipe.representations.encoder).is_demo):
        yield _error(f"packages of the demonstration models are not installed: {', '.join(missing)}", INSTALL)


def _of_gpus(checkup: Checkup, loaded: Loaded) -> Iterator[Finding]:
    torch, reinstall = loaded.torch, "pip install --force-reinstall torch torchvision"
    if torch and checkup.gpus and not torch.cuda:
        yield _warning("torch is a CPU build and does not use the GPU", reinstall)
    elif torch and checkup.gpus and not torch.gpus:
        message = f"torch, built for CUDA {torch.cuda}, finds none of the GPUs that nvidia-smi lists"
        fix = "Update the driver, and check CUDA_VISIBLE_DEVICES: nvidia-smi; echo $CUDA_VISIBLE_DEVICES"
        yield _error(message, fix)
    elif torch and torch.cuda and not checkup.gpus:
        message = f"torch is built for CUDA {torch.cuda}, and there is no GPU: it works, but takes gigabytes"
        yield _warning(message, f"{reinstall} --index-url {_CPU_INDEX}")


def _of_environment(checkup: Checkup, found: list[Mismatch], refused: Finding | None) -> Iterator[Finding]:
    """Findings of versions, disks and the Hub."""
    for mismatch in found:
        message = f"{mismatch.package} requires {mismatch.requirement}; {mismatch.found} is installed"
        yield _warning(message, f"pip install {shlex.quote(mismatch.requirement)}")
    work, needed, hub = checkup.disks[0], checkup.num_needed_disk_bytes, checkup.hub
    if work.num_free_bytes < needed:
        message = f"{_size(work.num_free_bytes)} are free at {work.path}; the build needs about {_size(needed)}"
        yield _error(message, "Free space, or set --out and --work-dir to another disk")
    if hub.problem and not (refused and refused.message == hub.problem):
        yield _warning(hub.problem, hub.advice or "")


def show(checkup: Checkup, console: "Console") -> None:
    from rich.text import Text

    console.print(described(dict(_lines(checkup))))
    for finding in checkup.findings:
        style = {"error": "bold red", "warning": "bold yellow"}[finding.severity]
        console.print(Text.assemble((f"\n{finding.severity}: ", style), finding.message))
        # Keep a command on one line in narrow terminals too, so that users can copy it.
        console.print(Text(f"  {finding.fix}", "cyan"), soft_wrap=True)
    verdict = "can" if checkup.can_build else "cannot"
    console.print(Text(f"\nThis machine {verdict} build the recipe {checkup.recipe}.", "bold"))


def _lines(checkup: Checkup) -> Iterator[tuple[str, str]]:
    yield "Python", f"{checkup.python} on {checkup.platform}"
    for name, version in checkup.packages.items():
        if version or name in _BASE:
            yield name, version or "not installed"
    for number, gpu in enumerate(checkup.gpus):
        free = f", {_size(gpu.num_free_bytes)} free" if gpu.num_free_bytes is not None else ""
        yield f"GPU {number}", f"{gpu.name}, {_size(gpu.num_bytes)}{free}" if gpu.num_bytes else gpu.name
    if not checkup.gpus:
        yield "GPU", "none"
    yield "processor", f"{checkup.num_cores} cores of {checkup.processor}"
    yield "memory", _size(checkup.num_memory_bytes)
    for disk in checkup.disks:
        yield disk.purpose, f"{_size(disk.num_free_bytes)} free at {disk.path}"
    hub = checkup.hub
    yield "Hub", f"{hub.address}, {'answers' if hub.reachable else 'does not answer'}"
    yield "token", _token(hub)
    yield "key for servers", f"in {API_KEY}" if checkup.endpoint_key else "none"


def _token(hub: HubStanding) -> str:
    if not hub.token_from:
        return "none (a push needs one: hf auth login)"
    user = f"{hub.user}'s" if hub.user else "not checked" if not hub.reachable else "refused"
    role = f", may {hub.role}" if hub.role in ("read", "write") else ""
    return f"{user}{role}, from {hub.token_from}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB"
