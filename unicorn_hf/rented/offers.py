"""Machines for rent by name: flavors of Hugging Face Jobs with the Hub's prices, or a GPU at the recipe's price."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.problems import first_error
from unicorn_hf.core.recipe import Price
from unicorn_hf.hub.access import CHECK_TIMEOUT_S, offline_problem
from unicorn_hf.hub.client import hub_api, hub_requests
from unicorn_hf.rented.hardware import GPUS, Gpu, gpu_of_size, named_gpu

if TYPE_CHECKING:
    from huggingface_hub import JobHardwareInfo

_USD = "USD"
_PER_HOUR = {"second": 3600, "minute": 60, "hour": 1}
"""Price units in an hour, by the Hub's label."""


class _Accelerator(BaseModel, from_attributes=True):
    model: str
    quantity: int = Field(ge=1, le=1024)
    vram: str
    """Of all GPUs together, as `80 GB`."""


class _Flavor(BaseModel, from_attributes=True, protected_namespaces=()):
    """A flavor as the Hub describes it: `JobHardwareInfo`."""

    name: str
    accelerator: _Accelerator
    unit_cost_usd: float = Field(ge=0, allow_inf_nan=False)
    unit_label: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine for rent."""

    name: str
    gpu: Gpu
    num_gpus: int
    per_hour: float | None
    """The price of the whole machine; None if unknown."""
    currency: str
    is_flavor: bool
    """Whether it is a flavor of Hugging Face Jobs."""


def find_offers(names: Sequence[str], price: Price, *, num_workers: int, gpus_per_worker: int) -> list[Offer]:
    """Find machines by name.

    A name as in `GPUS` (`H100`) is that GPU, as many as the workers need, at `price.per_worker_hour`. Any other is a
    flavor (`a100-large`), for which one request goes to the Hub, or else a GPU in another spelling (`h100`).

    Raises:
        InputError: there is no such machine, or the figures of its GPU are not known.
        RunError: it can only be a flavor, and the Hub cannot be reached.
    """
    per_hour = num_workers * price.per_worker_hour or None
    flavors: dict[str, JobHardwareInfo] = {}
    unreachable: RunError | None = None
    if not all(name in GPUS for name in names):
        try:
            flavors = _flavors()
        except RunError as error:
            unreachable = error
    found = []
    for name in names:
        if name not in GPUS and name in flavors:
            found.append(_of_flavor(flavors[name]))
        elif gpu := named_gpu(name):
            found.append(Offer(name, gpu, num_workers * gpus_per_worker, per_hour, price.currency, is_flavor=False))
        else:
            raise _unknown(name, flavors, unreachable)
    return found


def _flavors() -> "dict[str, JobHardwareInfo]":
    """The Hub's flavors with a GPU, by name."""
    if problem := offline_problem():
        raise problem
    api = hub_api()
    if not hasattr(api, "list_jobs_hardware"):
        raise RunError("huggingface_hub is too old to list them", "pip install --upgrade 'huggingface_hub>=1.4'")
    with hub_requests(CHECK_TIMEOUT_S):
        try:
            return {flavor.name: flavor for flavor in api.list_jobs_hardware() if flavor.accelerator}
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"the Hub's list of them has an unknown form ({type(error).__name__})") from error


def _of_flavor(told: "JobHardwareInfo") -> Offer:
    try:
        flavor = _Flavor.model_validate(told)
    except ValidationError as error:
        raise InputError(f"the Hub describes {told.name} in an unknown form: {first_error(error)}") from error
    accelerator, num_gpus = flavor.accelerator, flavor.accelerator.quantity
    found = re.match(r"\s*(\d+(?:\.\d+)?)", accelerator.vram)
    memory = float(found[1]) * 1e9 if found else 0.0
    gpu = gpu_of_size(accelerator.model, memory / num_gpus, memory)
    if gpu is None:
        raise InputError(
            f"the speed of the {accelerator.model} in {flavor.name} cannot be calculated: its figures are not known",
            f"Known GPUs: {', '.join(GPUS)}",
        )
    hours = _PER_HOUR.get(flavor.unit_label)
    return Offer(flavor.name, gpu, num_gpus, flavor.unit_cost_usd * hours if hours else None, _USD, is_flavor=True)


def _unknown(name: str, flavors: "dict[str, JobHardwareInfo]", unreachable: RunError | None) -> InputError | RunError:
    gpus = f"GPUs: {', '.join(GPUS)}"
    if unreachable:
        return RunError(
            f"no GPU is named {name!r}, and the flavors of Hugging Face Jobs are not known: {unreachable.message}",
            f"{unreachable.advice}\n{gpus}".strip(),
        )
    return InputError(
        f"no GPU and no flavor of Hugging Face Jobs is named {name!r}", f"{gpus}\nFlavors: {', '.join(flavors)}"
    )
