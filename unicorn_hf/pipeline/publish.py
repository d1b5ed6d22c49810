"""Writes, checks and pushes the built folder: shards, transfer, recipe, statistics and card."""

from collections.abc import Sequence
from pathlib import Path

from unicorn_hf.builders.original import COLUMNS
from unicorn_hf.builders.package import ConfigName, PackagedConfig
from unicorn_hf.builders.places import CONFIGS
from unicorn_hf.builders.repository import CARD, RECIPE, RUN, STATISTICS, TRANSFER, add_shards, is_build, replaced
from unicorn_hf.builders.rows import batches
from unicorn_hf.builders.validate import validate_folder
from unicorn_hf.cards.card import render_card
from unicorn_hf.cards.charts import draw_charts
from unicorn_hf.cards.costs import RunFacts, StageTime, read_run
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.links import check_links
from unicorn_hf.core.packages import packages_of
from unicorn_hf.core.plugins import plugins
from unicorn_hf.core.published import published_recipe
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import dump_recipe, read_recipe
from unicorn_hf.hub.files import published_paths
from unicorn_hf.hub.options import DEFAULTS, PushOptions
from unicorn_hf.hub.push import PushResult, push_folder
from unicorn_hf.pipeline.events import machines
from unicorn_hf.pipeline.parts import Parts
from unicorn_hf.pipeline.text import Text
from unicorn_hf.representations.step import Representations
from unicorn_hf.representations.transfer_file import encoder_id, save_transfer
from unicorn_hf.runtime.files import write_bytes, write_json, write_text
from unicorn_hf.runtime.installed import installed_version
from unicorn_hf.runtime.progress import Progress

_ALWAYS_USED = ("unicorn-hf", "numpy", "pyarrow")

Examples = dict[ConfigName, list[dict[str, object]]]
"""The first rows of each config, without their embeddings."""


def publish(
    parts: Parts, text: Text, vectors: Representations, packaged: Sequence[PackagedConfig]
) -> tuple[Statistics, Examples]:
    """Write the built folder; an atomic rename publishes it."""
    out, examples = parts.plan.out, Examples()
    statistics = _statistics(parts, text, vectors, packaged)
    published = published_recipe(text.recipe.model_copy(update={"plugins": plugins(text.recipe)}))
    with replaced(out) as folder:
        add_shards(folder, packaged, out)
        save_transfer(
            folder / TRANSFER,
            vectors.transfer,
            vectors.statistics,
            vectors.text,
            encoder=published.representations.encoder,
            encoder_id=encoder_id(text.recipe.representations.encoder),
            image_source=vectors.image.source if vectors.image else "",
        )
        write_text(folder / RECIPE, dump_recipe(published))
        write_json(folder / STATISTICS, statistics.model_dump(mode="json"))
        write_json(folder / RUN, _run(parts, text, vectors, packaged).model_dump(mode="json"))
        examples |= {config.name: first_rows(folder, config.name) for config in packaged if config.shards}
        write_card(folder)
    return statistics, examples


def _statistics(parts: Parts, text: Text, vectors: Representations, packaged: Sequence[PackagedConfig]) -> Statistics:
    pretrain, instruction = packaged
    return Statistics(
        engine=parts.generator.engine.published().title,
        engine_deterministic=parts.generator.deterministic,
        model_license=text.model_license,
        seeds=text.seeds,
        captions=text.captions.counts,
        caption_words=pretrain.words,
        diversity=pretrain.diversity.facts(text.captions.counts),
        sketch=pretrain.sketch,
        instructions=text.instructions.counts,
        left_out=tuple(text.left_out),
        representations=vectors.facts(parts.encoder, text.recipe.representations.dtype),
        pretrain=pretrain.facts,
        instruction=instruction.facts,
        versions=_versions(text.recipe),
    )


def _run(parts: Parts, text: Text, vectors: Representations, packaged: Sequence[PackagedConfig]) -> RunFacts:
    return RunFacts(
        machines=tuple(machines(parts.work_dir)),
        captions=StageTime.of(text.captions.usage),
        instructions=StageTime.of(text.instructions.usage),
        representations=StageTime(seconds=round(vectors.seconds, 3)),
        packaging=StageTime(seconds=round(sum(config.seconds for config in packaged), 3)),
    )


def _versions(recipe: Recipe) -> dict[str, str]:
    """Versions of the installed packages that the data depends on."""
    names = sorted({*_ALWAYS_USED, *packages_of(recipe)})
    return {name: version for name in names if (version := installed_version(name))}


def write_card(folder: str | Path) -> Path:
    """Write card and charts of a built folder from its recipe, statistics and first rows, as a build does.

    The same folder gives the same card, byte for byte. An existing card is overwritten.

    Raises:
        InputError: `folder` is no build, or one of its files cannot be read.
    """
    folder = Path(folder)
    check_build(folder)
    recipe = published_recipe(read_recipe(folder / RECIPE))
    statistics = read_statistics(folder / STATISTICS)
    try:
        rows = {name: first_rows(folder, name)[0] for name in CONFIGS if getattr(statistics, name).num_rows}
        card = render_card(recipe, statistics, rows, read_run(folder / RUN))
    except (ValueError, OSError, LookupError, StopIteration) as error:
        raise InputError(f"{folder}: cannot write its card: {error}", f"Try: unicorn-hf validate {folder}") from error
    for name, chart in draw_charts(statistics).items():
        write_bytes(folder / name, chart)
    write_text(folder / CARD, card)
    return folder / CARD


def tell_in_card(folder: Path, **facts: object) -> None:
    """Add figures to the statistics of a built folder, and rewrite its card."""
    statistics = read_statistics(folder / STATISTICS)
    write_json(folder / STATISTICS, statistics.model_copy(update=facts).model_dump(mode="json"))
    write_card(folder)


def check_build(folder: Path) -> None:
    """
    Raises:
        InputError: `folder` is no build.
    """
    if not is_build(folder):
        raise InputError(f"{folder} is not a folder that unicorn-hf built", f"It needs {RECIPE} and {STATISTICS}.")
    check_links(folder)


def first_rows(folder: Path, config: str, number: int = 3) -> list[dict[str, object]]:
    first = next(batches(folder, config, list(COLUMNS[config])), None)
    rows: list[dict[str, object]] = first.slice(0, number).to_pylist() if first else []
    return rows


def check_set(folder: str | Path) -> None:
    """Check that a folder is a valid set, without reading all rows.

    Raises:
        InputError: it is not; the message names the first problem.
    """
    published_paths(Path(folder))
    report = validate_folder(folder, whole=False)
    if not report.valid:
        more = f", and {report.num_problems - 1:,} more problems" if report.num_problems > 1 else ""
        raise InputError(
            f"{folder} is not a valid set: {report.problems[0].first[0]}{more}",
            f"List all problems, row by row: unicorn-hf validate {folder}",
        )


def push_dataset(
    folder: str | Path, repo_id: str, options: PushOptions = DEFAULTS, *, progress: Progress
) -> PushResult:
    """Push a built folder to the Hub; see `unicorn_hf.hub.push.push_folder`.

    Raises:
        InputError: also if `check_set` finds a problem.
    """
    check_set(folder)
    return push_folder(Path(folder), repo_id, options, progress=progress)
