"""Estimates the cost of a build: builds a sample and extrapolates its figures."""

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from unicorn_hf.builders.figures import ConfigFacts
from unicorn_hf.builders.package import STAGE as PACKAGING
from unicorn_hf.builders.package import PackagingRecord
from unicorn_hf.builders.repository import RUN
from unicorn_hf.cards.costs import RunFacts
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.languages import base, listed
from unicorn_hf.core.recipe import Price, Recipe
from unicorn_hf.core.units import amount, counted, duration, size
from unicorn_hf.engines.batch import BatchEngine
from unicorn_hf.engines.echo import EchoEngine
from unicorn_hf.engines.endpoint import ServedModel
from unicorn_hf.pipeline.planning import Plan
from unicorn_hf.pipeline.run import build
from unicorn_hf.representations.step import STAGE as REPRESENTATIONS
from unicorn_hf.representations.step import EncodingRecord
from unicorn_hf.runtime.generation import Counts, GenerationRecord, Usage
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.steps import read_record
from unicorn_hf.seeds.sources.file import FileSource
from unicorn_hf.seeds.step import prepare_seeds

_HOUR_S = 3600
_REHEARSED = 1_000
"""Captions of the rehearsal, which measures the time of everything but the models."""
_REHEARSED_PARTITION = 125
"""Small, so that most partitions are not a worker's first, which includes its imports."""
_DEVIATIONS = 2.0
"""Standard deviations of a 95 % interval, for a representative sample."""
_SEEDS_PER_CAPTION = 20
"""Seeds read from each source per caption of the sample."""


class Amount(BaseModel):
    """An estimate and its error."""

    value: float
    error: float
    """Half the width of the 95 % interval, in the same unit. Covers only the sampling error."""

    @classmethod
    def total(cls, parts: "Sequence[Amount]") -> "Amount":
        return cls(value=sum(part.value for part in parts), error=math.hypot(*(part.error for part in parts)))


_NOTHING = Amount(value=0, error=0)


class StageEstimate(BaseModel):
    """A stage that uses the engine."""

    rows: int
    candidates: Amount = _NOTHING
    """Rows plus rejections."""
    requests: Amount = _NOTHING
    prompt_tokens: Amount = _NOTHING
    output_tokens: Amount = _NOTHING
    engine_hours: Amount = _NOTHING
    """Worker hours."""


class Estimate(BaseModel):
    """The estimated cost of a build."""

    num_sample: int
    """Captions of the sample."""
    partitions: int
    captions: StageEstimate
    instructions: StageEstimate
    encoder_hours: float
    """Worker hours."""
    own_hours: float
    """Worker hours for filters, stored answers and packaging, from a rehearsal without models on this machine; 0 for a
    language that `echo` cannot write."""
    start_hours: float
    """Fixed time at start and end of a build, without the start of the models."""
    workers: int
    hours: Amount
    """Wall time with `workers` workers, each as fast as the sample's. A small sample does not fill an engine, so the
    true time is rather shorter."""
    cost: Amount | None
    """At the recipe's price."""
    other_costs: dict[str, float] = {}
    """What the same requests cost by other ways to ask, where the recipe's price has a rate for them."""
    currency: str
    disk_bytes: int
    upload_bytes: int


def estimate(
    planned: Plan, *, sample: int = 64, workers: int | None = None, progress: Progress | None = None
) -> Estimate:
    """Build `sample` captions and their share of conversations in a temporary folder, and extrapolate.

    Args:
        planned: the whole build. The sample uses its engine and encoder, at their price.
        sample: number of captions; the error falls with its square root.
        workers: workers of the real build; by default as many as it would start here.
        progress: reports progress.

    Raises:
        InputError: something that the recipe names does not exist, or the recipe imports its text.
        RunError: as for a build.
    """
    recipe = planned.recipe
    if recipe.takes_text:
        raise InputError("this recipe imports its text and sends no requests", "Use: unicorn-hf build --dry-run")
    asks = recipe.engine
    # A batch takes up to a day: the sample is asked at once, at the full price.
    asked_now = recipe.model_copy(update={"engine": asks.live()}) if isinstance(asks, BatchEngine) else recipe
    with tempfile.TemporaryDirectory(prefix="unicorn-hf-plan-") as name:
        folder = Path(name)
        made = build(sample_of(asked_now, sample), folder / "sample", progress=progress or Progress())
        run = RunFacts.model_validate_json((made.out / RUN).read_bytes())
        asked = {stage: _records(folder / "sample.work", stage) for stage in ("captions", "instructions")}
        num_workers = workers or planned.place.num_workers or 1
        own = _rehearsed(recipe, folder, made.statistics.representations.dim, min(num_workers, cpu_count()))
    found = made.statistics
    captions = _stage(recipe.captions.num, found.captions, asked["captions"])
    instructions = _stage(recipe.instructions.num, found.instructions, asked["instructions"])
    num = found.captions.num_kept
    # Exclude the encoder's start from the time per caption.
    generator = resolve_generator(recipe.engine).identity
    start = sum(engine.seconds for engine in made.engines if engine.identity != generator)
    encoder_hours = max(0.0, run.representations.seconds - start) / num * recipe.captions.num / _HOUR_S
    if own.row_s and not parse_encoder(recipe.representations.encoder).uses_gpu:
        encoder_hours = own.row_s[REPRESENTATIONS] * recipe.captions.num / _HOUR_S
    engine_hours = Amount.total([captions.engine_hours, instructions.engine_hours])
    asking_hours = own.asking_hours(captions, instructions)
    # A rehearsal's engine runs inside the workers: its time is part of theirs.
    engine = 0.0 if recipe.engine.rehearses and asking_hours else engine_hours.value
    total = (engine + encoder_hours + asking_hours) / num_workers + own.wall_hours(recipe, num_workers)
    return Estimate(
        num_sample=num,
        partitions=math.ceil(captions.candidates.value / recipe.partition_rows),
        captions=captions,
        instructions=instructions,
        encoder_hours=encoder_hours,
        own_hours=asking_hours + own.packaging_hours(recipe),
        start_hours=own.start_s / _HOUR_S,
        workers=num_workers,
        hours=Amount(value=total, error=engine_hours.error / num_workers),
        cost=_cost(recipe.engine_price, captions, instructions, encoder_hours),
        other_costs=_other_costs(recipe, captions, instructions, encoder_hours),
        currency=recipe.price.currency,
        disk_bytes=planned.num_disk_bytes,
        upload_bytes=round(_file_bytes(found.pretrain) * recipe.captions.num)
        + round(_file_bytes(found.instruction) * recipe.instructions.num),
    )


def sample_of(recipe: Recipe, number: int) -> Recipe:
    """The recipe of a sample: `number` captions, their share of conversations, and a part of each source's seeds."""
    number = min(number, recipe.captions.num)
    share = recipe.instructions.num / recipe.captions.num
    # Include every task.
    num_tasks = len(recipe.instructions.tasks.by_name())
    instructions = min(recipe.instructions.num, max(math.ceil(share * number), num_tasks), number)
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
class _OwnWork:
    """Time of everything but the models, in worker seconds."""

    start_s: float = 0.0
    seed_s: float = 0.0
    """Per seed, in the main process."""
    row_s: Mapping[str, float] = field(default_factory=Counter)
    """By stage: per candidate of a generating one, per caption of the others, per row of either config of packaging."""

    def asking_hours(self, captions: StageEstimate, instructions: StageEstimate) -> float:
        """Worker hours for processing answers."""
        stages = {"captions": captions, "instructions": instructions}
        return sum(stage.candidates.value * self.row_s[name] for name, stage in stages.items()) / _HOUR_S

    def packaging_hours(self, recipe: Recipe) -> float:
        """Worker hours."""
        return (recipe.captions.num + recipe.instructions.num) * self.row_s[PACKAGING] / _HOUR_S

    def wall_hours(self, recipe: Recipe, num_workers: int) -> float:
        """Hours of the work that workers do not share, and of packaging, where one worker writes each shard."""
        shard = min(recipe.captions.num, recipe.packaging.rows_per_shard) * self.row_s[PACKAGING]
        packaging = max(shard / _HOUR_S, self.packaging_hours(recipe) / num_workers)
        return packaging + (self.start_s + recipe.captions.num * self.seed_s) / _HOUR_S


def _rehearsed(recipe: Recipe, folder: Path, dim: int, num_workers: int) -> _OwnWork:
    """Time a rehearsal, the recipe without its models, on the seeds of the sample in `folder`."""
    if any(base(language) not in listed() for language in recipe.language):
        return _OwnWork()
    seeds = pa.concat_tables(
        pq.read_table(path, columns=["seed"]) for path in folder.glob("sample.work/seeds-*/*.parquet")
    )
    pq.write_table(seeds, folder / "seeds.parquet")
    number = min(_REHEARSED, recipe.captions.num)
    share = min(1.0, recipe.instructions.num / recipe.captions.num)
    encodes = parse_encoder(recipe.representations.encoder).uses_gpu
    light = {"encoder": f"hashing:{dim}", "transfer": "mean_shift", "image_statistics": None}
    rehearsal = recipe.model_copy(
        update={
            "engine": EchoEngine(),
            "seeds": recipe.seeds.model_copy(update={"sources": (FileSource(path=str(folder / "seeds.parquet")),)}),
            "captions": recipe.captions.model_copy(update={"num": number, "captions_per_seed": None, "screen": None}),
            "instructions": recipe.instructions.model_copy(update={"num": math.ceil(share * number), "judge": None}),
            "representations": recipe.representations.model_copy(update=light if encodes else {}),
            "partition_rows": min(recipe.partition_rows, _REHEARSED_PARTITION),
            "packaging": recipe.packaging.model_copy(update={"rows_per_shard": _REHEARSED_PARTITION}),
            "cluster": recipe.cluster.model_copy(update={"kind": "local", "workers": num_workers}),
        }
    )
    began = time.monotonic()
    build(rehearsal, folder / "rehearsal")
    wall_s = time.monotonic() - began
    work_dir, rehearses = folder / "rehearsal.work", recipe.engine.rehearses
    stages: dict[str, list[tuple[int, float]]] = {
        stage: [
            (record.counts.num_candidates, record.seconds - (0.0 if rehearses else record.usage.seconds))
            for record in _records(work_dir, stage)
        ]
        for stage in ("captions", "instructions")
    }
    encoded = [read_record(path, EncodingRecord) for path in work_dir.glob(f"{REPRESENTATIONS}-*/*.json")]
    packaged = [read_record(path, PackagingRecord) for path in work_dir.glob(f"{PACKAGING}-*/*.json")]
    stages[REPRESENTATIONS] = [(record.num_rows, record.seconds) for record in encoded]
    stages[PACKAGING] = [(record.statistics.num_rows, record.seconds) for record in packaged]
    row_s = {name: _per_row(parts) for name, parts in stages.items()}
    compared_s = sum(json.loads(path.read_bytes())["seconds"] for path in work_dir.glob("near-duplicates-*/*.json"))
    worked_s = sum(row_s[name] * num_rows for name, parts in stages.items() for num_rows, _ in parts) + compared_s
    began = time.monotonic()
    prepare_seeds(rehearsal, folder / "seeds-again")
    seeds_s = time.monotonic() - began
    row_s["captions"] += compared_s / sum(num_rows for num_rows, _ in stages["captions"])
    return _OwnWork(max(0.0, wall_s - worked_s / num_workers - seeds_s), seeds_s / len(seeds), row_s)


def _per_row(partitions: Sequence[tuple[int, float]]) -> float:
    """The median, which ignores partitions that include a worker's imports."""
    return max(0.0, median([seconds / num_rows for num_rows, seconds in partitions if num_rows] or [0.0]))


def _records(work_dir: Path, stage: str) -> list[GenerationRecord]:
    return [read_record(path, GenerationRecord) for path in work_dir.glob(f"{stage}-*/*.json")]


def _spread(num: int, total: int, squares: float) -> float:
    """Relative standard error of a mean."""
    if num < 2 or not total:
        return 0.0
    variance = max(0.0, squares - total * total / num) / (num - 1)
    return math.sqrt(variance / num) / (total / num)


def _stage(num: int, facts: Counts, records: Sequence[GenerationRecord]) -> StageEstimate:
    if not num or not facts.num_kept:
        return StageEstimate(rows=num)
    # All candidates of the sample, including surplus ones: partitions are always complete.
    asked, usage = Counts.merged(record.counts for record in records), Usage.merged(record.usage for record in records)
    prompt_spread = _spread(asked.num_requests, asked.num_prompt_tokens, usage.prompt_tokens_squared)
    output_spread = _spread(asked.num_requests, asked.num_output_tokens, usage.output_tokens_squared)
    kept = facts.num_kept / facts.num_candidates
    candidates = num / kept
    # Relative error of the share kept; without rejections, count half a candidate as rejected.
    off = math.sqrt(max(1 - kept, 0.5 / facts.num_candidates) / (kept * facts.num_candidates))
    # The sample's own rows are known.
    unknown = math.sqrt(max(0.0, 1 - facts.num_kept / num))

    def estimated(of_sample: float, spread: float = 0.0) -> Amount:
        value = of_sample / asked.num_candidates * candidates
        return Amount(value=value, error=value * _DEVIATIONS * unknown * math.hypot(off, spread))

    return StageEstimate(
        rows=num,
        candidates=estimated(asked.num_candidates),
        requests=estimated(asked.num_requests),
        prompt_tokens=estimated(asked.num_prompt_tokens, prompt_spread),
        output_tokens=estimated(asked.num_output_tokens, output_spread),
        engine_hours=estimated(usage.seconds / _HOUR_S, output_spread),
    )


def _cost(price: Price, captions: StageEstimate, instructions: StageEstimate, encoder_hours: float) -> Amount | None:
    cost = price.cost
    parts = [Amount(value=cost(worker_hours=encoder_hours), error=0)]
    for stage in (captions, instructions):
        used = {
            "prompt_tokens": stage.prompt_tokens,
            "output_tokens": stage.output_tokens,
            "worker_hours": stage.engine_hours,
        }
        parts += [Amount(value=cost(**{of: n.value}), error=cost(**{of: n.error})) for of, n in used.items()]
    total = Amount.total(parts)
    return total if total.value else None


def _other_costs(
    recipe: Recipe, captions: StageEstimate, instructions: StageEstimate, encoder_hours: float
) -> dict[str, float]:
    """The cost of each way to ask for which the recipe has a price."""
    price, ways = recipe.price, dict[str, Price]()
    if price.is_by_token:
        by_token = price.model_copy(update={"per_worker_hour": 0.0})
        ways = {"in batches": by_token.in_batches, "live on a server": by_token}
    if price.per_worker_hour and not isinstance(recipe.engine, ServedModel):
        ways["on own GPUs"] = Price(currency=price.currency, per_worker_hour=price.per_worker_hour)
    found = {way: _cost(one, captions, instructions, encoder_hours) for way, one in ways.items()}
    return {way: cost.value for way, cost in found.items() if cost}


def _file_bytes(facts: ConfigFacts) -> float:
    """Bytes per row."""
    return facts.num_file_bytes / max(facts.num_rows, 1)


def lines(found: Estimate) -> list[str]:
    """The estimate as text for the terminal."""
    told = [
        f"From a sample of {counted(found.num_sample, 'caption')}. ± is the 95 % interval; times but the wall time are"
        " summed over workers.",
        "",
    ]
    for name, stage in (("captions", found.captions), ("instructions", found.instructions)):
        if stage.rows:
            told += [
                f"{name:>15}  {counted(stage.rows, 'row')} from {_number(stage.candidates)} candidates",
                f"{'':15}  {_number(stage.requests)} requests, {_number(stage.prompt_tokens)} tokens in,"
                f" {_number(stage.output_tokens)} out",
                f"{'':15}  {_hours(stage.engine_hours)} of engine time",
            ]
    cost = found.cost and f"{amount(found.cost.value, found.cost.error, digits=2)} {found.currency}"
    workers = f"{counted(found.workers, 'worker')} as fast as the sample's, {counted(found.partitions, 'partition')}"
    told += [
        f"{'representations':>15}  {duration(found.encoder_hours * _HOUR_S)} of encoder time",
        f"{'own work':>15}  {duration(found.own_hours * _HOUR_S)} of filters, stored answers and packaging",
        f"{'wall time':>15}  {_hours(found.hours)} with {workers}",
        f"{'cost':>15}  {cost or 'no price given'}",
        *(f"{'':15}  {other:,.2f} {found.currency} {way}" for way, other in found.other_costs.items()),
        f"{'upload':>15}  about {size(found.upload_bytes)}",
    ]
    return told


def _number(found: Amount) -> str:
    return amount(found.value, found.error)


def _hours(found: Amount) -> str:
    return duration(found.value * _HOUR_S, found.error * _HOUR_S)
