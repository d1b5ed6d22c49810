"""Plans a build: resolves and checks all that is possible without writing anything."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.builders.repository import check_out
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.prompts import CAPTION_PROMPTS, INSTRUCTION_PROMPTS, load_prompt
from unicorn_hf.core.published import with_prompts
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.scoring import load_scorer
from unicorn_hf.instructions.step import load_prompts as load_instruction_prompts
from unicorn_hf.interchange.reading import imported_files
from unicorn_hf.reading.data_file import DataFile
from unicorn_hf.representations.transfer_file import load_image_statistics
from unicorn_hf.runtime.answers import FOLDER as ANSWERS
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.launch import Place, find_place
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.storage import is_remote, local_place, place
from unicorn_hf.seeds.step import check_sources

_USUAL_DIM = 1280
_ENCODER_BYTES = 8 * 2**30
"""Memory for each worker that encodes on the CPU: weights and activations."""
_IMPORTED_ROW_BYTES = 700
"""A caption and its conversation in an imported file."""
_ROW_BYTES = 6_000


@dataclass(frozen=True)
class Plan:
    """A build, resolved and checked, before anything is written."""

    recipe: Recipe
    out: Path
    work_dir: Path
    place: Place
    num_disk_bytes: int
    """Estimated disk use of work files and built folder together."""
    answers: Path
    """The answer store, with a folder for each engine."""

    def store(self, generator: GeneratorSpec) -> Path:
        """The folder of an engine's stored answers."""
        return self.answers / generator.identity

    @property
    def told_out(self) -> Path:
        """`out` as messages show it: relative, if it is in the current folder."""
        here = Path.cwd()
        return self.out.relative_to(here) if self.out.is_relative_to(here) else self.out

    @property
    def local_dir(self) -> Path:
        """The folder that takes disk space on this machine."""
        return self.out if is_remote(self.work_dir) else self.work_dir


def plan(
    recipe: Recipe, out: str | Path = "unicorn", work_dir: str | Path | None = None, answers: str | Path | None = None
) -> Plan:
    """Resolve a build without writing anything.

    Raises:
        InputError: something that the recipe names does not exist, or `out` holds something that is not a build.
    """
    out = local_place(out)
    check_out(out)
    work_dir = place(work_dir).expanduser().absolute() if work_dir else work_dir_of(out)
    if recipe.parent and Path(recipe.parent.dataset).resolve() == out:
        raise InputError(f"{out} is the parent of this set", "Choose another --out DIR.")
    if work_dir == out or out in work_dir.parents:
        raise InputError(f"the work folder {work_dir} is inside the built folder {out}", "Choose another --work-dir.")
    stored = place(answers).expanduser().absolute() if answers else work_dir / ANSWERS
    if out in (stored, *stored.parents):
        raise InputError(
            f"the answer store {stored} is inside the built folder {out}", "Choose another --answers folder."
        )
    if recipe.representations.image_statistics:
        load_image_statistics(Path(recipe.representations.image_statistics))
    if not recipe.takes_text:
        recipe.engine.check(recipe)
        with disk_errors():  # Language detection unpacks its model to a temporary file.
            check_sources(recipe.seeds, recipe.language)
        load_prompt(recipe.captions.prompt, CAPTION_PROMPTS)
        load_instruction_prompts(recipe.instructions)
        load_scorer(recipe.instructions.judge, INSTRUCTION_PROMPTS, recipe.random_seed)
        load_scorer(recipe.captions.screen, CAPTION_PROMPTS, recipe.random_seed)
        recipe = with_prompts(recipe)  # The published recipe holds their text.
    files = imported_files(recipe.imported) if recipe.imported and not recipe.parent else []
    return Plan(recipe, out, work_dir, _place(recipe), _disk_bytes(recipe, files), stored)


def _place(recipe: Recipe) -> Place:
    asks, encoder = not recipe.takes_text, parse_encoder(recipe.representations.encoder)
    return find_place(
        recipe.cluster.kind,
        recipe.cluster.workers,
        on_cpu=_workers_on_cpu(recipe, encodes=encoder.uses_gpu),
        uses_gpu=(asks and recipe.engine.uses_gpu) or encoder.uses_gpu,
        gpus_per_worker=recipe.engine.gpus_per_worker if asks else 1,
        dashboard=recipe.cluster.dashboard,
    )


def _workers_on_cpu(recipe: Recipe, *, encodes: bool) -> int:
    """Number of workers for this machine's CPU; `encodes`: each holds the weights of an encoder."""
    cores = cpu_count()
    if recipe.takes_text:
        return 1 if encodes else cores
    fitting = min(cores, psutil.virtual_memory().total // _ENCODER_BYTES) if encodes else cores
    return recipe.engine.workers_on_cpu(cores, fitting)


def _disk_bytes(recipe: Recipe, files: Sequence[DataFile]) -> int:
    dim = parse_encoder(recipe.representations.encoder).known_dim or _USUAL_DIM
    vector = dim * (2 if recipe.representations.dtype == "float16" else 4)
    if files:
        num_bytes = sum(file.path.stat().st_size * (4 if file.path.suffix == ".zip" else 1) for file in files)
        num_rows = min(recipe.captions.num, num_bytes // _IMPORTED_ROW_BYTES)
        return 3 * num_bytes + num_rows * (4 * dim + 2 * vector)
    captions = recipe.captions.num * (_ROW_BYTES + 4 * dim + vector)
    return captions + recipe.instructions.num * (_ROW_BYTES + vector)


def check_disk(planned: Plan) -> None:
    if is_remote(planned.work_dir):
        return
    free = shutil.disk_usage(planned.work_dir).free
    if free < planned.num_disk_bytes:
        raise RunError(
            f"{planned.work_dir}: {free / 2**30:.1f} GiB are free, the build needs about "
            f"{planned.num_disk_bytes / 2**30:.1f} GiB",
            "Choose another --work-dir or fewer --captions, or free disk space.",
        )
