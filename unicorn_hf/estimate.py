"""What a build would take: a sample of it is made, and its figures are carried over to the whole."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel

from unicorn_hf.builders.repository import RUN
from unicorn_hf.cards.costs import RunFacts
from unicorn_hf.cards.statistics import ConfigFacts, StageFacts, Statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.recipe import TASKS, Recipe
from unicorn_hf.engines.specs import resolve_generator
from unicorn_hf.pipeline import build, plan
from unicorn_hf.runtime.generation import Counts, GenerationRecord, Usage
from unicorn_hf.runtime.progress import NoProgress, Progress
from unicorn_hf.runtime.steps import read_record

_HOUR_S = 3600
_DEVIATIONS = 2.0
"""An error that is told holds in 95 builds of 100, if the sample is as the rest."""
_NUM_TASKS = len(TASKS)
_SEEDS_PER_CAPTION = 20
"""Of each source so many seeds are read for a caption of the sample."""


class Amount(BaseModel):
    """An estimate, and how far off it may be."""

    value: float
    error: float
    """Half the width of the 95 % interval, in the same unit. It knows of the sample's chance alone."""

    @classmethod
    def of(cls, value: float, relative_error: float) -> "Amount":
        return cls(value=value, error=value * relative_error)

    @classmethod
    def total(cls, parts: "Sequence[Amount]") -> "Amount":
        return cls(value=sum(part.value for part in parts), error=math.hypot(*(part.error for part in parts)))


class StageEstimate(BaseModel):
    """A stage that asks the engine."""

    rows: int
    candidates: Amount
    """Rows and what is rejected on the way to them."""
    requests: Amount
    prompt_tokens: Amount
    output_tokens: Amount
    engine_hours: Amount
    """Of one worker."""


class Estimate(BaseModel):
    """What a build would take."""

    num_sample: int
    """Captions of the sample."""
    partitions: int
    captions: StageEstimate
    instructions: StageEstimate
    encoder_hours: float
    """Of one worker. Packaging, some thousands of rows a second, is left out of all hours."""
    workers: int
    hours: Amount
    """Wall time with so many workers, each as fast as the sample's. A small sample does not fill an engine, which then
    gives less than it can: the true time is shorter rather than longer."""
    cost: Amount | None
    """By the recipe's price."""
    currency: str
    disk_bytes: int
    upload_bytes: int


def estimate(
    recipe: Recipe, *, sample: int = 64, workers: int | None = None, progress: Progress | None = None
) -> Estimate:
    """Make `sample` captions and as many conversations as belong to them, in a folder that is deleted again.

    Args:
        recipe: of the whole build. Its own engine and encoder are asked, and cost what they cost.
        sample: captions; the error falls with its square root.
        workers: those of the real build; as many as it would find here unless given.
        progress: is told how far the sample is.

    Raises:
        InputError: the recipe asks for what is not there, or takes its text from elsewhere.
        RunError: as a build's.
    """
    if recipe.takes_text:
        raise InputError("this recipe's text is there already: nothing is to be asked", "unicorn-hf build --dry-run")
    whole = plan(recipe, Path("unicorn"))
    with tempfile.TemporaryDirectory(prefix="unicorn-hf-plan-") as name:
        folder = Path(name)
        made = build(_sample_of(recipe, sample), folder / "sample", progress=progress or NoProgress())
        run = RunFacts.model_validate_json((made.out / RUN).read_bytes())
        asked = [_Asked.read(folder / "sample.work", stage) for stage in ("captions", "instructions")]
    found = made.statistics
    captions = _stage(recipe.captions.num, found.captions, asked[0])
    instructions = _stage(recipe.instructions.num, found.instructions, asked[1])
    num = found.captions.num_kept
    # The encoder's start is no part of what a caption takes.
    generator = resolve_generator(recipe.engine).identity
    start = sum(engine.seconds for engine in made.engines if engine.identity != generator)
    encoder_hours = max(0.0, run.representations.seconds - start) / num * recipe.captions.num / _HOUR_S
    num_workers = workers or whole.place.num_workers or 1
    engine_hours = Amount.total([captions.engine_hours, instructions.engine_hours])
    total = (engine_hours.value + encoder_hours) / num_workers
    return Estimate(
        num_sample=num,
        partitions=math.ceil(captions.candidates.value / recipe.partition_rows),
        captions=captions,
        instructions=instructions,
        encoder_hours=encoder_hours,
        workers=num_workers,
        hours=Amount(value=total, error=engine_hours.error / num_workers),
        cost=_cost(recipe, captions, instructions, encoder_hours),
        currency=recipe.price.currency,
        disk_bytes=whole.num_disk_bytes,
        upload_bytes=round(_file_bytes(found, "pretrain") * recipe.captions.num)
        + round(_file_bytes(found, "instruction") * recipe.instructions.num),
    )


def _sample_of(recipe: Recipe, number: int) -> Recipe:
    number = min(number, recipe.captions.num)
    share = recipe.instructions.num / recipe.captions.num
    # All tasks have a part in it.
    instructions = min(recipe.instructions.num, max(math.ceil(share * number), _NUM_TASKS), number)
    few = number * _SEEDS_PER_CAPTION
    sources = tuple(
        source.model_copy(update={"limit": min(source.limit or few, few)}) for source in recipe.seeds.sources
    )
    return recipe.model_copy(
        update={
            "captions": recipe.captions.model_copy(update={"num": number}),
            "instructions": recipe.instructions.model_copy(update={"num": instructions}),
            "seeds": recipe.seeds.model_copy(update={"sources": sources}),
            "partition_rows": min(recipe.partition_rows, number),
        }
    )


@dataclass(frozen=True)
class _Asked:
    """What the sample's candidates took, those too that it made beyond what it needed: shards are asked whole."""

    num_candidates: int
    num_requests: int
    num_prompt_tokens: int
    num_output_tokens: int
    seconds: float
    spread: dict[str, float]
    """Standard error of the mean of an answer's tokens, relative to it."""

    @classmethod
    def read(cls, work_dir: Path, stage: str) -> "_Asked":
        counts, usage = Counts(), Usage()
        for path in work_dir.glob(f"{stage}-*/*.json"):
            record = read_record(path, GenerationRecord)
            counts, usage = counts.plus(record.counts), usage.plus(record.usage)
        tables = [pq.read_table(path) for path in work_dir.glob(f"answers-{stage}-*/*.parquet")]
        spread = {}
        for name in ("num_prompt_tokens", "num_output_tokens"):
            values = np.concatenate([table.column(name).to_numpy() for table in tables]) if tables else np.zeros(0)
            known = len(values) > 1 and values.mean() > 0
            spread[name] = float(values.std(ddof=1) / values.mean() / np.sqrt(len(values))) if known else 0.0
        return cls(
            num_candidates=counts.num_candidates,
            num_requests=counts.num_requests,
            num_prompt_tokens=counts.num_prompt_tokens,
            num_output_tokens=counts.num_output_tokens,
            seconds=usage.seconds,
            spread=spread,
        )


def _stage(num: int, facts: StageFacts, asked: _Asked) -> StageEstimate:
    if not num or not facts.num_kept:
        nothing = Amount(value=0, error=0)
        return StageEstimate(
            rows=num, candidates=nothing, requests=nothing, prompt_tokens=nothing, output_tokens=nothing,
            engine_hours=nothing,
        )  # fmt: skip
    kept = facts.num_kept / facts.num_candidates
    candidates = num / kept
    # Of a share that is estimated from so many candidates; with nothing rejected, as if half a candidate had been.
    off = math.sqrt(max(1 - kept, 0.5 / facts.num_candidates) / (kept * facts.num_candidates))
    # What is already in the sample is known.
    unknown = math.sqrt(max(0.0, 1 - facts.num_kept / num))

    def amount(per_sample: float, more: float = 0.0) -> Amount:
        return Amount.of(per_sample / asked.num_candidates * candidates, _DEVIATIONS * unknown * math.hypot(off, more))

    return StageEstimate(
        rows=num,
        candidates=amount(asked.num_candidates),
        requests=amount(asked.num_requests),
        prompt_tokens=amount(asked.num_prompt_tokens, asked.spread["num_prompt_tokens"]),
        output_tokens=amount(asked.num_output_tokens, asked.spread["num_output_tokens"]),
        engine_hours=amount(asked.seconds / _HOUR_S, asked.spread["num_output_tokens"]),
    )


def _cost(recipe: Recipe, captions: StageEstimate, instructions: StageEstimate, encoder_hours: float) -> Amount | None:
    cost = recipe.price.cost
    parts = [Amount(value=cost(worker_hours=encoder_hours), error=0)]
    for stage in (captions, instructions):
        prompt, output, hours = stage.prompt_tokens, stage.output_tokens, stage.engine_hours
        parts += [
            Amount(value=cost(prompt_tokens=prompt.value), error=cost(prompt_tokens=prompt.error)),
            Amount(value=cost(output_tokens=output.value), error=cost(output_tokens=output.error)),
            Amount(value=cost(worker_hours=hours.value), error=cost(worker_hours=hours.error)),
        ]
    total = Amount.total(parts)
    return total if total.value else None


def _file_bytes(statistics: Statistics, config: str) -> float:
    facts: ConfigFacts = getattr(statistics, config)
    return facts.num_file_bytes / max(facts.num_rows, 1)


def lines(found: Estimate) -> list[str]:
    """For the terminal."""
    stages = {"captions": found.captions, "instructions": found.instructions}
    told = [f"From a sample of {found.num_sample:,} captions; ± tells where 95 of 100 builds would lie.", ""]
    for name, stage in stages.items():
        told += [
            f"{name:>15}  {stage.rows:,} rows of {_number(stage.candidates)} candidates",
            f"{'':15}  {_number(stage.requests)} requests, {_number(stage.prompt_tokens)} tokens in,"
            f" {_number(stage.output_tokens)} out",
            f"{'':15}  {_hours(stage.engine_hours)} of one worker's engine",
        ]
    told += [
        f"{'partitions':>15}  {found.partitions:,} of captions",
        f"{'representations':>15}  {found.encoder_hours:,.2f} hours of one worker's encoder",
        f"{'wall time':>15}  {_hours(found.hours)} with {found.workers:,} workers as fast as the sample's",
        f"{'cost':>15}  "
        + (f"{found.cost.value:,.2f} ± {found.cost.error:,.2f} {found.currency}" if found.cost else "no price given"),
        f"{'disk':>15}  about {found.disk_bytes / 2**30:,.1f} GiB, work files included",
        f"{'upload':>15}  about {found.upload_bytes / 2**30:,.1f} GiB",
    ]
    return told


def _number(amount: Amount) -> str:
    return f"{amount.value:,.0f} ± {amount.error:,.0f}"


def _hours(amount: Amount) -> str:
    return f"{amount.value:,.2f} ± {amount.error:,.2f} hours"
