"""Hours and price of a build on rented GPUs."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import BaseModel, computed_field

from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.model_source import DEMO
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.units import counted, duration
from unicorn_hf.engines.vllm import VllmEngine
from unicorn_hf.rented.hardware import Gpu
from unicorn_hf.rented.offers import Offer, find_offers
from unicorn_hf.rented.shapes import Shape, language_model, text_encoder
from unicorn_hf.rented.speed import WITHIN, Engine, encoding_seconds
from unicorn_hf.rented.work import Work

_HOUR_S = 3600
_ENGINE_START_S = 90
"""Measured on an H100: 75 to 100 s without vLLM's compile cache."""
_INSTALL_S = 180
"""Assumed: installation of the packages on a new machine."""
_DOWNLOAD_BYTES_PER_S = 0.2e9
"""Assumed, for the weights."""
_ENCODER_WORK_BYTES = 2e9
"""Assumed: memory of a batch."""


class Quote(BaseModel):
    """A build on one kind of machine."""

    name: str
    gpu: str
    num_gpus: int
    workers: int = 0
    is_flavor: bool
    """Whether it is a flavor of Hugging Face Jobs."""
    problem: str = ""
    """Why it cannot build the recipe; the other figures are then 0."""
    advice: str = ""
    start_hours: float = 0
    """Packages, weights and engine."""
    engine_hours: float = 0
    """Wall time of both stages that use the language model."""
    encoder_hours: float | None = 0
    """Wall time of the encoder; None if its size is not known."""
    in_flight: int = 0
    """Requests that an engine decodes at once, in the stage of captions."""
    output_tokens_per_s: float = 0
    """Of all workers, in the stages that use the language model."""
    per_hour: float | None = None
    """The price of the machine; None if unknown."""
    currency: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def hours(self) -> float:
        """Wall time, with the start; without the encoder if its time is not known."""
        return self.start_hours + self.engine_hours + (self.encoder_hours or 0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cost(self) -> float | None:
        return None if self.per_hour is None else self.per_hour * self.hours

    @computed_field  # type: ignore[prop-decorator]
    @property
    def timeout_hours(self) -> int:
        """Hours after which a job may be ended: as many as the build takes if it is as slow as may be."""
        return math.ceil(self.hours * WITHIN)


class Quotes(BaseModel):
    """A build on each of several machines. The times are calculated, not measured."""

    work: Work
    model: str
    """Empty if the text exists."""
    within: float = WITHIN
    """The factor within which the measured times lie."""
    machines: list[Quote]


@dataclass(frozen=True)
class Rental:
    """A recipe on machines for rent."""

    recipe: Recipe
    offers: Sequence[Offer]
    settings: VllmEngine
    """The engine as vLLM would run it."""
    model: Shape | None
    """None if the text exists."""
    encoder: Shape | None
    """None if its sizes are not known."""

    @classmethod
    def of(cls, recipe: Recipe, names: Sequence[str], workers: int | None = None) -> "Rental":
        """Find the machines and the sizes of the models.

        Args:
            recipe: the recipe of the whole build.
            names: flavors of Hugging Face Jobs, or GPUs.
            workers: workers on a GPU that is no flavor; by default one. A flavor has as many as its GPUs serve.

        Raises:
            InputError: there is no such machine or model, or the recipe's engine has no model.
            RunError: the Hub cannot be reached.
        """
        settings, model = recipe.engine, None
        if not recipe.takes_text and not settings.model_name:
            raise InputError(
                f"the recipe's engine {settings.kind} has no model whose speed could be calculated",
                "Name one: --llm MODEL.",
            )
        if not isinstance(settings, VllmEngine):
            settings = VllmEngine(model=settings.model_name)
        if not recipe.takes_text:
            model = language_model(settings.model, settings.revision, settings.dtype)
        size = settings.tensor_parallel_size if model else 1
        offers = find_offers(names, recipe.price, num_workers=workers or 1, gpus_per_worker=size)
        return cls(recipe, offers, settings, model, text_encoder(parse_encoder(recipe.representations.encoder)))

    def quotes(self, work: Work) -> Quotes:
        """Calculate hours and price of the work on each machine."""
        name = self.settings.model if self.model else ""
        return Quotes(work=work, model=name, machines=[self._quote(offer, work) for offer in self.offers])

    def _quote(self, offer: Offer, work: Work) -> Quote:
        facts = asdict(offer) | {"gpu": offer.gpu.name}
        engine = Engine(self.model, offer.gpu, self.settings) if self.model else None
        if problem := self._problem(offer, engine):
            return Quote(**facts, problem=problem[0], advice=problem[1])
        workers = offer.num_gpus // (engine.num_gpus if engine else 1)
        loads = [stage.load for stage in (work.captions, work.instructions)]
        engine_s = sum(map(engine.seconds, loads)) / workers if engine else 0.0
        tokens = work.captions.output_tokens + work.instructions.output_tokens
        loaded = sum(shape.num_bytes for shape in (self.model, self.encoder) if shape)
        return Quote(
            **facts,
            workers=workers,
            start_hours=(_INSTALL_S + loaded / _DOWNLOAD_BYTES_PER_S + (_ENGINE_START_S if engine else 0)) / _HOUR_S,
            engine_hours=engine_s / _HOUR_S,
            encoder_hours=self._encoder_hours(offer.gpu, work, workers),
            in_flight=int(engine.num_in_flight(loads[0])) if engine else 0,
            output_tokens_per_s=tokens / engine_s if engine_s else 0.0,
        )

    def _problem(self, offer: Offer, engine: Engine | None) -> tuple[str, str] | None:
        """Why the machine cannot build the recipe, and what to do; None if it can."""
        if engine and (problem := engine.problem()):
            return problem
        if engine and engine.num_gpus > offer.num_gpus:
            return f"a worker needs {engine.num_gpus} GPUs", "choose a larger flavor"
        if self.encoder and self.encoder.num_bytes + _ENCODER_WORK_BYTES > offer.gpu.num_bytes:
            size = f"the encoder's weights take {self.encoder.num_bytes / 1e9:,.1f} GB"
            return f"{size}, a {offer.gpu.name} has {offer.gpu.num_bytes / 1e9:,.0f}", "choose another --encoder"
        return None

    def _encoder_hours(self, gpu: Gpu, work: Work, workers: int) -> float | None:
        asked = self.recipe.representations
        if not parse_encoder(asked.encoder).uses_gpu:
            return 0.0
        if self.encoder is None:
            return None
        cut = asked.long_captions == "truncate" and self.encoder.max_tokens
        tokens = min(work.caption_tokens, self.encoder.max_tokens) if cut else work.caption_tokens
        return encoding_seconds(self.encoder, gpu, self.recipe.captions.num * tokens) / workers / _HOUR_S


def lines(found: Quotes) -> list[str]:
    """The quotes as text for the terminal."""
    work = found.work
    told = [f"On rented GPUs: calculated, within a factor of {found.within:g}. The work is from {work.source}."]
    for name, stage in (("captions", work.captions), ("conversations", work.instructions)):
        if stage.requests:
            load = stage.load
            candidates = f" from {stage.candidates:,.0f} candidates" if work.knows_rejections else ""
            told.append(
                f"{name:>15}  {counted(stage.rows, 'row')}{candidates}: {stage.requests:,.0f} requests of"
                f" {load.prompt_tokens:,.0f} tokens ({load.shared_tokens:,.0f} shared),"
                f" answers of {load.output_tokens:,.0f}"
            )
    if not work.knows_rejections:
        told.append("The model's rejections and lengths are not known before a sample by its engine: --sample N.")
    told.append("")
    width = max(len(one.name) for one in found.machines)
    for one in found.machines:
        first, *more = _told(one)
        told += [f"{one.name:>{width}}  {first}", *(f"{'':{width}}  {text}" for text in more)]
    return told


def to_rent(found: Quotes, build: Sequence[str]) -> list[str]:
    """The command that rents the cheapest flavor, for the terminal; empty if none fits.

    Args:
        found: the machines.
        build: the arguments of the build.
    """
    told: list[str] = []
    if rented := [one for one in found.machines if one.is_flavor and not one.problem]:
        best = min(rented, key=lambda one: math.inf if one.cost is None else one.cost)
        rent = ["hf", "jobs", "uv", "run", "--flavor", best.name, "--timeout", f"{best.timeout_hours}h"]
        limit = "; the time limit is without the encoder" if best.encoder_hours is None else ""
        command = shlex.join([*rent, "build.py", *build, "--push", "ORG/NAME"])
        told += ["", f"To rent the cheapest (docs/rent.md{limit}):", f"  {command}"]
        if found.model.startswith(DEMO):
            told.append(
                "The job lacks the demonstration's models. Name some of the Hub: --llm MODEL --encoder ENCODER."
            )
    return told


def _told(one: Quote) -> list[str]:
    hardware = f"{one.num_gpus} × {one.gpu}"
    if one.problem:
        return [f"{hardware}: {one.problem}; {one.advice}"]
    no_price = "the Hub gives no price" if one.is_flavor else "no price given (--set price.per_worker_hour=PRICE)"
    price = no_price if one.cost is None else f"{one.cost:,.2f} {one.currency}"
    without = "; without the encoder, whose size is not known" if one.encoder_hours is None else ""
    hours = {"start": one.start_hours, "language model": one.engine_hours, "encoder": one.encoder_hours}
    told = [
        f"{hardware}: {duration(one.hours * _HOUR_S)}, {price}{without}",
        ", ".join(f"{name} {duration(taken * _HOUR_S)}" for name, taken in hours.items() if taken),
    ]
    if one.in_flight:
        each = f" in each of {one.workers} workers" if one.workers > 1 else ""
        told.append(f"{one.output_tokens_per_s:,.0f} tokens/s, {one.in_flight:,} requests at once{each}")
    return told
