"""The command `unicorn-hf`: turns options into a recipe and errors into messages."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from unicorn_hf.core.errors import InputError, UnicornError, WaitingError
from unicorn_hf.core.visible import visible_lines
from unicorn_hf.params import CLUSTER, ENCODER, FOLDER, RECIPE, ChoiceOf, DescribedOption, WritingEngine

if TYPE_CHECKING:
    from rich.console import Console

    from unicorn_hf.cards.scores import Score
    from unicorn_hf.core.recipe import Recipe
    from unicorn_hf.core.sources import SeedSource
    from unicorn_hf.hub.push import PushPlan, PushResult
    from unicorn_hf.needed import Need
    from unicorn_hf.pipeline.planning import Plan
    from unicorn_hf.pipeline.run import BuildResult
    from unicorn_hf.representations.figures import GapFacts
    from unicorn_hf.runtime.progress import Progress
    from unicorn_hf.views.compare import Comparison

_DEMO_MODELS = """
Small demonstration models made this set: it shows the steps, not the quality. Do not train on it.
A real run needs a GPU, an instruction model with at least 7 B parameters, and a CLIP text tower:
  unicorn-hf build unicorn-1.2m --seeds captions.txt --captions 100000 --instructions 40000 \\
    --llm Qwen/Qwen2.5-7B-Instruct --set engine.tensor_parallel_size=1 \\
    --encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k --set title="My data set"
Or write a recipe: see "Build a real one" in docs/quickstart.md."""
_ENGINE_OPTIONS = {"model": "--llm", "base_url": "--base-url"}
"""Engine key: the option that sets it."""
_KEYS = {
    "captions": "captions.num",
    "instructions": "instructions.num",
    "transfer": "representations.transfer",
    "image_statistics": "representations.image_statistics",
    "workers": "cluster.workers",
    "encoder": "representations.encoder",
    "cluster": "cluster.kind",
    "dashboard": "cluster.dashboard",
    "random_seed": "random_seed",
    "languages": "language",
    "exclude_benchmarks": "seeds.exclude_benchmarks",
}
"""Option: the recipe key that it sets."""
_OVERRIDES = {*_KEYS, "seed_files", "seed_column", "engine", "llm", "base_url", "settings"}
_DIR, _FILE = click.Path(path_type=Path, file_okay=False), click.Path(path_type=Path, dir_okay=False)
_FROM_0, _FROM_1 = click.IntRange(min=0), click.IntRange(min=1)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
_revision = click.option("--revision", help="A branch, tag or commit of ORG/NAME.")
_image_statistics = click.option(
    "--image-statistics", type=_FILE, help="Image statistics for the transfer: a file that `calibrate` wrote."
)
_workers = click.option("--workers", type=_FROM_1, help="Number of worker processes.")
_config = click.option("--config", help="The config of a data set.")
_split = click.option("--split", default="test", show_default=True, help="The split of a data set.")
_encoder = click.option(
    "--encoder", type=ENCODER, metavar="ENCODER", help="The set's encoder, if it is not where the recipe says."
)

_RECIPE_OPTIONS = (
    click.option(
        "--seeds",
        "seed_files",
        type=click.Path(path_type=Path),
        multiple=True,
        help="A seed file to use instead of the recipe's (.txt, .csv, .tsv, .jsonl, .json, .parquet); repeatable.",
    ),
    click.option("--seed-column", help="The column of --seeds that holds the seeds."),
    click.option(
        "--language",
        "languages",
        multiple=True,
        metavar="CODE",
        help="Language of captions and conversations, such as zh; repeatable.  [default: the recipe's, mostly en]",
    ),
    click.option(
        "--exclude-benchmarks",
        is_flag=True,
        default=None,
        help="Exclude the recipe's seeds that are labels of evaluation benchmarks.",
    ),
    click.option("--captions", type=_FROM_1, help="Number of captions to keep."),
    click.option("--instructions", type=_FROM_0, help="Number of conversations to keep; 0 for captions only."),
    click.option("--engine", type=WritingEngine(), help="Text generator."),
    click.option(
        "--llm",
        help="The model: a Hub name, a folder, or the server's name for it. The recipe's other engine settings stay.",
    ),
    click.option(
        "--base-url",
        metavar="URL",
        multiple=True,
        help="URL of the server for --engine endpoint or batch; UNICORN_HF_API_KEY holds its key. Repeatable with"
        " endpoint, for servers with the same model.",
    ),
    click.option("--encoder", type=ENCODER, help="Text encoder."),
    click.option("--transfer", type=ChoiceOf("TRANSFERS"), help="Moves text vectors to image space."),
    _image_statistics,
    click.option(
        "--cluster",
        type=CLUSTER,
        metavar="WHERE",
        help="Where the workers run: auto (one per GPU, if there is one), local, cuda, or a Dask scheduler's address"
        " (tls://HOST:8786) or file.",
    ),
    _workers,
    click.option(
        "--dashboard",
        is_flag=True,
        default=None,
        help="Serve Dask's dashboard for the workers that this command starts. Every user of the machine can open it.",
    ),
    click.option("--random-seed", type=int, help="Random seed: the same recipe with another seed gives another set."),
    click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        multiple=True,
        help="Any other recipe key, such as captions.sampling.temperature=0.9; repeatable.",
    ),
)
"""Options that override the recipe."""
_yes = click.option(
    "--yes", is_flag=True, help="Download the models that a published set's recipe names without asking."
)
_SET_OPTIONS = (
    click.option(
        "--from",
        "parent",
        type=FOLDER,
        metavar="ORG/NAME|DIR",
        help="Regenerate this published set instead of RECIPE; other options override its recipe.",
    ),
    click.option("--revision", help="A branch, tag or commit of --from ORG/NAME."),
    _yes,
)
"""Options of commands that take a recipe or a published set."""
_PLACES = (
    click.option(
        "--out",
        type=FOLDER,
        metavar="DIR",
        default="unicorn",
        show_default=True,
        help="The folder of the finished set.",
    ),
    click.option(
        "--work-dir",
        type=FOLDER,
        metavar="DIR|URL",
        help="The folder for work files (answers, shards, records), or a URL: s3://BUCKET/PATH, hf://buckets/ORG/NAME/PATH."
        "  [default: OUT.work]",
    ),
    click.option(
        "--answers",
        type=FOLDER,
        metavar="DIR|URL",
        help="The store for model answers; builds can share it.  [default: in the work folder]",
    ),
)
_PUSH_OPTIONS = (
    click.option("--push", "repo_id", metavar="ORG/NAME", help="Push the finished set to this Hub repository."),
    click.option("--private", is_flag=True, help="Make the repository private if the push creates it."),
    click.option("--overwrite", is_flag=True, help="Let the push replace files that unicorn-hf did not make."),
)
"""Options of commands that build a set and can push it."""

_Command = Callable[..., None]
_Result = TypeVar("_Result")


def _with(options: Sequence[Callable[[_Command], _Command]]) -> Callable[[_Command], _Command]:
    """Add options that several commands share."""

    def decorated(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


@dataclass(frozen=True)
class _Chosen:
    """The recipe that a command was given, with the options applied, and the places of its build."""

    recipe: "Recipe"
    keys: frozenset[str]
    """Keys that the options set."""
    published: str
    """The published set that the recipe comes from; empty if it is from none."""
    yes: bool
    out: str
    places: tuple[str | None, ...]
    """Work folder and answer store."""

    def plan(self) -> "Plan":
        from unicorn_hf.pipeline.planning import plan

        return plan(self.recipe, self.out, *self.places)

    def ask(self) -> None:
        """Ask before downloading models that someone else chose.

        Raises:
            InputError: there is no terminal to ask at, or the answer is no.
        """
        from unicorn_hf.hub.consent import models_to_download

        if self.published and not self.yes:
            _ask(self.published, models_to_download(self.recipe, self.keys))


def _of_recipe(*groups: Sequence[Callable[[_Command], _Command]]) -> Callable[[_Command], _Command]:
    """Add the options that choose a recipe; the command gets its `_Chosen` and those that it has parameters for."""

    def decorated(command: _Command) -> _Command:
        @click.argument("recipe", type=RECIPE, default="demo")
        @_with([option for group in groups for option in group])
        @wraps(command)
        def run(
            recipe: str, parent: str | None, revision: str | None, out: str, work_dir: str | None,
            answers: str | None = None, yes: bool = False, **options: Any,
        ) -> None:  # fmt: skip
            own = {name: options.pop(name) for name in signature(command).parameters if name in options}
            assert options.keys() <= _OVERRIDES, "a command without a parameter for its own option"
            found = _child(parent, revision, options) if parent else _named(recipe, revision, options)
            command(_Chosen(*found, yes, out, (work_dir, answers)), **own)

        return run

    return decorated


class _Commands(click.Group):
    """Turns errors that a user can fix into a message and an exit code; bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except WaitingError as waiting:
            _echo(str(waiting), err=True)
            raise SystemExit(waiting.exit_code) from None
        except UnicornError as error:
            _fail(str(error), error.exit_code)
        except Exception as error:
            from unicorn_hf.core.http import proxy_failure

            if (problem := proxy_failure(error)) is None:
                raise
            _fail(str(problem), problem.exit_code)
        except KeyboardInterrupt:
            _fail("Stopped. Finished work is kept: run the same command again to resume.", exit_code=130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="unicorn-hf")
def main() -> None:
    """Vision-language training data from text alone.

    \b
    unicorn-hf build                     the demonstration set, on any machine
    unicorn-hf build my.yaml --push ORG/NAME
    """


@main.command()
@_of_recipe(_SET_OPTIONS, _PLACES, _RECIPE_OPTIONS, _PUSH_OPTIONS)
@click.option(
    "--max-cost", type=click.FloatRange(min=0, min_open=True),
    help="Stop when the total cost of all runs of this build, at the recipe's price, exceeds this.",
)  # fmt: skip
@click.option("--max-hours", type=click.FloatRange(min=0, min_open=True), help="Stop this run after this many hours.")
@click.option(
    "--no-wait", is_flag=True,
    help="With --engine batch: submit and collect what is possible now, then end; run the command again later.",
)  # fmt: skip
@click.option(
    "--dry-run", is_flag=True, help="Show the plan and send no requests; the same as `unicorn-hf plan --sample 0`."
)
def build(
    chosen: _Chosen, repo_id: str | None, private: bool, overwrite: bool, max_cost: float | None,
    max_hours: float | None, no_wait: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Build the data set that RECIPE describes.

    RECIPE is a YAML file or a bundled recipe: `demo`, `parti` or `unicorn-1.2m`. Options override its keys. If a build
    stops, run the same command again: it resumes.

    \b
    Example:
      unicorn-hf build my.yaml --captions 1000 --instructions 400
      unicorn-hf build --from ORG/NAME --transfer none --out other --push ME/NAME-other
    """
    from unicorn_hf.hub.options import PushOptions

    planned = chosen.plan()
    if dry_run:
        _plan(planned, sample=0)
        return
    chosen.ask()
    push = PushOptions(private=private, overwrite=overwrite)
    limits = {"max_cost": max_cost, "max_hours": max_hours, "wait": not no_wait}
    _build(planned, chosen.out, push=repo_id, options=push, **limits)


_Found = tuple["Recipe", frozenset[str], str]
"""A recipe, keys that the options set, and the published set that it comes from."""


def _named(recipe: str, revision: str | None, options: dict[str, Any]) -> _Found:
    from unicorn_hf.core.foreign import is_of_a_set
    from unicorn_hf.core.recipe_file import load_recipe, read_document

    if revision:
        raise InputError("--revision requires --from ORG/NAME")
    document = read_document(recipe)
    overrides = _overrides(recipe, document.engine_kind, options)
    published = recipe if is_of_a_set(Path(recipe)) else ""
    return load_recipe(document, overrides, tell=partial(_echo, err=True)), frozenset(overrides), published


def _child(parent: str, revision: str | None, options: dict[str, Any]) -> _Found:
    from unicorn_hf.hub.regenerate import child_recipe, read_published

    if click.get_current_context().get_parameter_source("recipe") is not ParameterSource.DEFAULT:
        raise InputError("--from already provides a recipe", "Omit RECIPE.")
    published = read_published(parent, revision)
    if published.taken.told:
        _echo(published.taken.told, err=True)
    overrides = _overrides(parent, published.recipe.engine.kind, options)
    return child_recipe(published, overrides), frozenset(overrides), parent


def _ask(source: str, models: Sequence[str]) -> None:
    if not models:
        return
    names = "\n".join(f"  {model}" for model in models)
    question = f"The recipe of {source} names models that are not on this machine:\n{names}\n"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(
            f"{question}Nothing was downloaded.",
            "Add --yes to download them, or choose your own with --llm MODEL and --encoder ENCODER.",
        )
    if not click.confirm(visible_lines(f"{question}Download them?"), err=True):
        raise InputError("nothing was downloaded", "Choose your own models with --llm MODEL and --encoder ENCODER.")


def _build(planned: "Plan", out: str, **options: Any) -> None:
    from unicorn_hf.core.encoder import parse_encoder
    from unicorn_hf.pipeline.run import execute

    with _progress() as progress, _stopped_by_sigterm():
        result = execute(planned, progress=progress, **options)
    _show_result(result, Path(out))
    recipe = planned.recipe
    if recipe.engine.is_demo or parse_encoder(recipe.representations.encoder).is_demo:
        _echo(_DEMO_MODELS)
    if result.pushed:
        _show_push(result.pushed)
    else:
        _echo(f"\nLook at it:  unicorn-hf report {out}\nPublish it:  unicorn-hf push {out} ORG/NAME")


@main.command()
@_of_recipe(_SET_OPTIONS, _PLACES, _RECIPE_OPTIONS)
@click.option(
    "--sample", type=_FROM_0,
    help="Captions to generate with the recipe's own engine, to measure lengths and rejections; 0 sends no requests."
    "  [default: 64; 0 with --gpu]",
)  # fmt: skip
@click.option(
    "--gpu", "gpus", multiple=True, metavar="NAME",
    help="Also calculate hours and price on rented GPUs: a flavor of Hugging Face Jobs (a100-large, l4x1) at the Hub's"
    " price, or a GPU (H100, A10G) at the recipe's price.per_worker_hour; repeatable, to compare.",
)  # fmt: skip
@_json
def plan(chosen: _Chosen, sample: int | None, workers: int | None, gpus: tuple[str, ...], as_json: bool) -> None:
    """Show the plan and the estimated cost of a build of RECIPE.

    The plan includes the number of requests without a stored answer. The estimate has requests, tokens, hours, price,
    disk and upload, with error bounds: the command generates a sample with the recipe's engine and encoder, and deletes
    it. --workers is the number of workers to assume for the wall time.

    --gpu needs no GPU here and generates no sample: it calculates the times from data sheets and the model's sizes,
    and takes the counts from the parent's statistics, or from a rehearsal with `echo`. With --sample N, the recipe's
    own engine measures the counts; it must run here.

    \b
    Example:
      unicorn-hf plan my.yaml --sample 256 --workers 8
      unicorn-hf plan unicorn-1.2m --gpu a100x4 --gpu h200x4
    """
    if sample is None:
        sample = 0 if gpus else 64
    _plan(chosen.plan(), sample=sample, workers=workers, as_json=as_json, gpus=gpus, ask=chosen.ask)


def _given_for_build() -> list[str]:
    """The arguments of the current command that `build` has too, for a build on a flavor.

    Without the workers, which are as many as its GPUs serve, and without folders for work files on this machine.
    """
    context, words = click.get_current_context(), list[str]()
    of_build = {parameter.name for parameter in build.params} - {"workers"}
    for parameter in context.command.params:
        name = parameter.name or ""
        value = context.params[name]
        if name not in of_build or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if name in ("work_dir", "answers") and "://" not in value:
            continue
        if isinstance(parameter, click.Argument):
            words.append(value)
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words.append(parameter.opts[0])
        else:
            values = value if parameter.multiple else [value]
            words += [word for one in values for word in (parameter.opts[0], str(one))]
    return words


def _plan(
    planned: "Plan", *, sample: int, workers: int | None = None, as_json: bool = False, gpus: Sequence[str] = (),
    ask: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    from unicorn_hf.estimate import estimate, lines
    from unicorn_hf.needed import requests_needed
    from unicorn_hf.rented import quotes, work

    rental = quotes.Rental.of(planned.recipe, gpus, workers) if gpus else None
    samples = sample > 0 and not planned.recipe.takes_text
    if samples:
        ask()
    need = requests_needed(planned)
    if not as_json:
        _show_plan(planned, need)
    found = None
    if samples:
        with _progress() as progress:
            found = estimate(planned, sample=sample, workers=workers, progress=progress)
    told = ["", *lines(found)] if found else ["No requests were sent, and nothing was written."]
    document: dict[str, object] = {"needed": need, **dict(found or ())}
    if rental:
        document["rented"] = on_gpus = rental.quotes(work.work_of(planned.recipe, found))
        told += ["", *quotes.lines(on_gpus, _given_for_build())]
    _print_json(document) if as_json else _echo("\n".join(told))


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@click.argument("repo_id", metavar="ORG/NAME")
@_with(_PUSH_OPTIONS[1:])
@click.option("--branch", metavar="NAME", help="Push to this branch; create it from main if needed.  [default: main]")
@click.option("--tag", metavar="NAME", help="Tag the commit that holds the data set.")
@click.option("--pr", is_flag=True, help="Open a pull request instead of writing to main.")
@click.option("--dry-run", is_flag=True, help="Show which files would be sent, deleted and kept; change nothing.")
@_json
def push(folder: Path, repo_id: str, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Push the built folder DIR to ORG/NAME on the Hub.

    The command first checks card, counts, schemas and first rows, and rejects an invalid set. If a push stops, run the
    same command again: it sends only the missing files.

    \b
    Example:
      unicorn-hf push unicorn my-name/unicorn --tag v1.0
    """
    from unicorn_hf.hub import PushOptions, plan_push
    from unicorn_hf.pipeline.publish import check_set, push_dataset

    if dry_run:
        planned = plan_push(folder, repo_id, PushOptions(**options))
        check_set(folder)
        _print_json(planned) if as_json else _show_push_plan(planned)
        return
    with _progress() as progress:
        result = push_dataset(folder, repo_id, PushOptions(**options), progress=progress)
    _print_json(result) if as_json else _show_push(result)


@main.command()
@click.argument("source", type=FOLDER, metavar="DIR|ORG/NAME")
@_revision
@_json
def validate(source: str, revision: str | None, as_json: bool) -> None:
    """Check a data set, row by row.

    Checks a built folder, or downloads and checks a Hub repository: schemas, counts, ids, conversations, vectors,
    hashes, and the card against the data. Reports every problem with its file, row (from 0) and field. The exit code is
    0 if the set is valid, else 1.

    \b
    Example:
      unicorn-hf validate unicorn --json > report.json
    """
    from unicorn_hf.builders.validate import validate_folder
    from unicorn_hf.hub.fetch import local_folder

    folder = local_folder(source, revision)
    with _progress() as progress:
        report = validate_folder(folder, name=source, progress=progress)
    _print_json(report) if as_json else _echo("\n".join(report.lines()))
    raise SystemExit(0 if report.valid else 1)


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
def card(folder: Path) -> None:
    """Regenerate the card of the built folder DIR.

    Writes README.md and its charts from recipe, statistics and first rows. This overwrites manual changes.

    \b
    Example:
      unicorn-hf card unicorn
    """
    from unicorn_hf.pipeline.publish import write_card

    _echo(f"Written: {write_card(folder)}")


def _pictures(num: int) -> tuple[Callable[[_Command], _Command], ...]:
    """The fields of `PictureSource` as options, by default with at most `num` images."""
    at_most = click.IntRange(min=2)
    return (
        click.option(
            "--images", "path", required=True, metavar="DATASET_OR_FOLDER", help="Real images; they need no text."
        ),
        click.option(
            "--num-images", "limit", type=at_most, default=num, show_default=True, help="Maximum number of images."
        ),
        click.option("--images-config", "config", help="The config of a data set."),
        click.option("--images-split", "split", default="train", show_default=True, help="The split of a data set."),
    )


@main.command()
@_with(_pictures(10_000))
@click.option("--encoder", type=ENCODER, metavar="ENCODER", required=True, help="The encoder, as for build.")
@click.option(
    "--out", type=_FILE, default=Path("image_statistics.safetensors"),
    show_default=True, help="The file to write.",
)  # fmt: skip
@click.option(
    "--keep-vectors", type=_FROM_0, metavar="N", default=0, show_default=True,
    help="Also write the vectors of N images: the transfers barycentric and aniso_align need them, up to 10,000.",
)  # fmt: skip
@_json
def calibrate(encoder: str, out: Path, keep_vectors: int, as_json: bool, **pictures: Any) -> None:
    """Measure image statistics of an encoder, for a transfer.

    Writes mean and covariance of the images' vectors to a file for `build --image-statistics`. The images need no
    relation to the seeds, but should be of the kind that the model will see.

    \b
    Example:
      unicorn-hf calibrate --images photos/ --encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k
    """
    from unicorn_hf.representations.calibrate import calibrate as run
    from unicorn_hf.representations.pictures import PictureSource

    with _progress() as progress:
        statistics = run(PictureSource(**pictures), encoder, out, progress, keep_vectors)
    moments, kept = statistics.moments, len(statistics.vectors.vectors) if statistics.vectors else 0
    if as_json:
        facts = {"num_images": moments.count, "trace": moments.trace, "dim": len(moments.mean), "num_vectors": kept}
        _print_json(facts | {"out": out})
        return
    told = f", {kept:,} vectors kept" if kept else ""
    _echo(f"{moments.count:,} images, mean squared distance from their mean {moments.trace:.4f}{told}: {out}")


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@_with(_pictures(2000))
@_encoder
@click.option("--num-texts", type=click.IntRange(min=10), default=2000, show_default=True, help="Rows to compare.")
@click.option("--plot/--no-plot", default=True, help="Draw the plot.")
@_yes
@_json
def gap(
    folder: Path, encoder: str | None, yes: bool, as_json: bool, num_texts: int, plot: bool, **pictures: Any
) -> None:
    """Measure the distance between a set's vectors and real images.

    Measures the built folder DIR before and after the transfer. Writes the figures to its statistics and card, and the
    plot to assets/.

    \b
    Example:
      unicorn-hf gap unicorn --images photos/
    """
    from unicorn_hf.hub.consent import encoder_models_to_download
    from unicorn_hf.pipeline.measure import measure_gap, set_encoder
    from unicorn_hf.representations.pictures import PictureSource

    if not encoder and not yes:
        _ask(str(folder), encoder_models_to_download(set_encoder(folder)))
    with _progress() as progress:
        source = PictureSource(**pictures)
        facts = measure_gap(folder, source, encoder=encoder, num_texts=num_texts, plot=plot, progress=progress)
    _print_json(facts) if as_json else _show_gap(facts)


@main.command()
@click.argument("sources", type=FOLDER, metavar="SET|MODEL...", nargs=-1, required=True)
@click.option(
    "--on", "path", required=True, metavar="DATASET|FOLDER", help="Real images with labels, or with questions."
)
@_config
@_split
@click.option(
    "--num-pictures", "limit", type=_FROM_1, default=10_000, show_default=True, help="Maximum number of images."
)
@_encoder
@click.option(
    "--image-statistics", type=_FILE, metavar="FILE", help="A file of `calibrate`, for a model whose set has none."
)
@_yes
@_json
def evaluate(
    sources: tuple[str, ...], encoder: str | None, image_statistics: Path | None, yes: bool, as_json: bool, **on: Any
) -> None:
    """Measure how well sets or models read real images.

    From a set (a built folder, or ORG/NAME), the command trains a proxy of a language model, in minutes on a CPU. A
    model is one of examples/train_vlm.py. Images have labels (the names of their folders, or a column `label`), or rows
    with `question`, `options`, `answer`; POPE, ScienceQA, MMBench and MMStar keep the prompts of their own programs.
    The command adds the score to the statistics and card of a built folder.

    \b
    Example:
      unicorn-hf evaluate unicorn other --on photos/
      unicorn-hf evaluate model --on lmms-lab/POPE
    """
    from unicorn_hf.hub.consent import encoder_models_to_download
    from unicorn_hf.representations.pictures import PictureSource

    try:
        from unicorn_hf.evaluation import Asked, evaluate_source, opened
    except ImportError as error:
        raise InputError(f"evaluate needs PyTorch ({error})", 'Install it: pip install "unicorn-hf[torch]"') from error
    with _progress() as progress:
        asked, found = Asked(PictureSource(**on), progress), [opened(source, encoder) for source in sources]
        if not encoder and not yes:
            for source, one in zip(sources, found, strict=True):
                _ask(source, encoder_models_to_download(one.encoder))
        scores = [evaluate_source(one, asked, image_statistics=image_statistics) for one in found]
    _print_json(dict(zip(sources, scores, strict=True))) if as_json else _show_scores(sources, scores)


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@click.option(
    "--with",
    "evaluation",
    required=True,
    metavar="FILE|DATASET",
    help="The evaluation set's texts: a .txt, .csv, .tsv, .jsonl, .json or .parquet file, or a Hub data set.",
)
@click.option("--column", help="The text column; required for a data set and for a file with several columns.")
@_config
@_split
@click.option("--name", help="The name in the card.  [default: the name of the file or data set]")
@_json
def overlap(
    folder: Path, evaluation: str, column: str | None, config: str | None, split: str, name: str | None, as_json: bool
) -> None:
    """Count rows that share text with an evaluation set.

    Counts the rows of the built folder DIR that share eight consecutive words with a text of the evaluation set. Adds
    the figures to its statistics and card.

    \b
    Example:
      unicorn-hf overlap unicorn --with questions.jsonl --column question
      unicorn-hf overlap unicorn --with lmms-lab/POPE --column question
    """  # fmt: skip
    from unicorn_hf.pipeline.measure import measure_overlap

    with _progress() as progress:
        source = _evaluation_source(evaluation, column, config, split, name)
        facts, examples = measure_overlap(folder, source, progress=progress)
    if as_json:
        _print_json(facts.model_dump() | {"examples": examples})
        return
    _echo(
        f"{facts.num_pretrain:,} rows of pretrain and {facts.num_instruction:,} of instruction share "
        f"{facts.run_words} consecutive words with one of the {facts.num_texts:,} texts of {facts.name}"
    )
    if examples:
        _echo(f"First ids: {', '.join(examples)}")


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@click.option("--format", "form", required=True, type=ChoiceOf("EXPORTS"), cls=DescribedOption)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to write; it must not exist.")
def export(folder: Path, form: str, out: Path) -> None:
    """Write the built folder DIR in a format that a trainer reads.

    \b
    Example:
      unicorn-hf export unicorn --format bunny --out unicorn-bunny
    """  # fmt: skip
    from unicorn_hf.interchange.export import export as run

    with _progress() as progress:
        run(folder, form, out, progress=progress)
    _echo(f"Written in the format {form}: {out}/")


@main.command("import")
@click.argument("files", metavar="FILES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=FOLDER, metavar="DIR", required=True, help="The folder of the finished set.")
@click.option(
    "--work-dir",
    type=FOLDER,
    metavar="DIR|URL",
    help="The folder for work files (shards, records), or a URL.  [default: OUT.work]",
)
@click.option("--column", help="The column or key of the captions.  [default: caption or text]")
@click.option("--domain", default="open-domain", show_default=True, help="The domain of captions without one.")
@click.option("--license", default="unknown", show_default=True, help="The licence id of the files.")
@click.option("--llm", "model", help="The model that wrote the text, for the card. This command does not run it.")
@click.option(
    "--language", "languages", multiple=True, default=("en",), show_default=True, metavar="CODE",
    help="The text's language; repeatable.",
)  # fmt: skip
@click.option("--title", default="Imported captions", show_default=True, help="The card's title.")
@click.option("--captions", type=_FROM_1, help="Import only this many captions, in order.  [default: all]")
@click.option("--instructions", type=_FROM_0, help="Import only this many conversations, in order.  [default: all]")
@click.option(
    "--encoder", type=ENCODER, metavar="ENCODER",
    help="Text encoder, as for build.  [default: use the vectors in the files]",
)  # fmt: skip
@click.option(
    "--transfer", type=ChoiceOf("TRANSFERS"),
    help="Moves text vectors to image space.  [default: mean_shift with --encoder, else none]",
)  # fmt: skip
@_image_statistics
@_workers
@_with(_PUSH_OPTIONS)
def import_(files: tuple[Path, ...], out: str, **options: Any) -> None:
    """Build a set from existing captions and conversations.

    Encodes and packages them, and writes a card. FILES are captions (.txt, .csv, .tsv, .jsonl, .json, .parquet),
    conversations in LLaVA's format, the original release, a folder that `export` wrote, or a built folder. Ids are
    kept; rows without a caption are skipped and counted.

    \b
    Example:
      unicorn-hf import captions.json instruction.json --out my-set --encoder clip:openai/clip-vit-large-patch14
    """
    from unicorn_hf.hub.options import PushOptions
    from unicorn_hf.interchange.recipe import import_recipe
    from unicorn_hf.pipeline.planning import plan

    told = ("encoder", "column", "domain", "license", "model", "title", "languages")
    recipe = import_recipe(files, **{name: options.pop(name) for name in told}, overrides=_given(options))
    push = PushOptions(private=options["private"], overwrite=options["overwrite"])
    _build(plan(recipe, out, options["work_dir"]), out, push=options["repo_id"], options=push)


@main.command()
@click.argument("sources", type=FOLDER, metavar="DIR|ORG/NAME...", nargs=-1, required=True)
@click.option(
    "--against", type=click.Choice(["published"]),
    help="Compare one set with the published sets on the Hub that share most of its captions.",
)  # fmt: skip
@_json
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the result as Markdown tables.")
@click.option("--picture", type=_FILE, help="Also write a chart to this PNG file.")
def compare(
    sources: tuple[str, ...], against: str | None, as_json: bool, as_markdown: bool, picture: Path | None
) -> None:
    """Compare data sets.

    Compares counts, lengths, variety, duplicates, rejections, cost, modality gap, tasks, domains, and the captions that
    the sets share. Figures come from each set's statistics, or from its rows if it has none. More than four sets get a
    row each, with their main figures.

    \b
    Example:
      unicorn-hf compare unicorn other ORG/NAME --picture sets.png
      unicorn-hf compare unicorn --against published
    """
    from unicorn_hf.views.compare import compare as run
    from unicorn_hf.views.compare import set_folder
    from unicorn_hf.views.compare_tables import markdown, show

    if as_json and as_markdown:
        raise InputError("--json and --markdown exclude each other", "Use one of them.")
    if against:
        comparison = _compared_with_published(sources)
    else:
        with _progress() as progress:
            comparison = run([set_folder(source) for source in sources], sources, progress)
    if picture:
        from unicorn_hf.views.compare_picture import draw

        draw(comparison, picture)
    if as_markdown:
        _echo(markdown(comparison), nl=False)
    else:
        _show(comparison, as_json, show)


def _compared_with_published(sources: Sequence[str]) -> "Comparison":
    from rich.console import Console

    from unicorn_hf.hub.published import published_sets
    from unicorn_hf.views.compare import compare_published, set_folder

    if len(sources) > 1:
        raise InputError("--against published takes one set", "Name one folder, or ORG/NAME.")
    with Console(stderr=True).status("Reading the statistics of the published sets"):
        found = published_sets()
        comparison = compare_published(set_folder(sources[0]), sources[0], found.sets)
    _echo(
        f"Published sets read: {len(found.sets):,}; not readable: {len(found.unreadable):,}; without a sketch, so"
        f" unknown: {found.num_without_sketch:,}; with captions in common, shown: {len(comparison.sets) - 1}",
        err=True,
    )
    return comparison


@main.command()
@click.argument("source", type=FOLDER, metavar="DIR|ORG/NAME")
@_revision
@click.option("--sample", "number", type=_FROM_0, default=3, show_default=True, help="Rows per config.")
@click.option("--filter", "having", metavar="TEXT", help="Only rows with this text in caption, seed or conversation.")
@_json
def inspect(source: str, revision: str | None, number: int, having: str | None, as_json: bool) -> None:
    """Show a set in the terminal.

    Shows figures, rows with their conversations, and rejections. Examples of rejections come from the build's work
    folder, if it is beside the set.

    \b
    Example:
      unicorn-hf inspect unicorn --sample 5
      unicorn-hf inspect unicorn --filter umbrella
    """
    from unicorn_hf.hub.fetch import local_folder
    from unicorn_hf.views.inspect import look, show

    _show(look(local_folder(source, revision), name=source, number=number, having=having), as_json, show)


@main.command()
@click.argument("source", type=FOLDER, metavar="DIR|ORG/NAME")
@_revision
@click.option(
    "--out", type=_FILE, metavar="FILE.html",
    help="The file to write.  [default: NAME-report.html in the current folder]",
)  # fmt: skip
@click.option("--sample", "number", type=_FROM_1, default=1000, show_default=True, help="Rows per config.")
def report(source: str, revision: str | None, out: Path | None, number: int) -> None:
    """Write a report about a set, to open in a browser.

    The report is one HTML file that needs no network, with figures, charts, a map of the vectors, rows to search, and
    rejections. Examples of rejections come from the build's work folder, if it is beside the set.

    \b
    Example:
      unicorn-hf report unicorn
      unicorn-hf report ORG/NAME --out page.html
    """
    from unicorn_hf.hub.fetch import local_folder
    from unicorn_hf.views.report import check_bokeh, write_report

    check_bokeh()
    out = out or Path(f"{Path(source).absolute().name}-report.html")
    name = None if Path(source).is_dir() else source
    write_report(local_folder(source, revision), out, name=name, number=number)
    _echo(f"{out} ({out.stat().st_size / 1e6:,.1f} MB)")


@main.command()
@click.argument("folder", metavar="DIR|URL", type=FOLDER)
@click.option("--watch", is_flag=True, help="Refresh until the build ends.")
@_json
def status(folder: str, watch: bool, as_json: bool) -> None:
    """Show a build's progress and the remaining time of its stage.

    DIR is the folder of --out, even if it does not exist yet, or the work folder. The command only reads the work
    folder: run it on any machine that can, also while the build runs.

    \b
    Example:
      unicorn-hf status unicorn --watch
    """
    from unicorn_hf.views import status as view

    if watch and not as_json:
        view.watch(folder)
    else:
        _show(view.status(folder), as_json, view.show)


@main.command()
@_of_recipe(_SET_OPTIONS[:2], _PLACES[:2])
@_json
def doctor(chosen: _Chosen, as_json: bool) -> None:
    """Check whether RECIPE can be built here, and show fixes.

    Checks versions and their compatibility, GPUs, memory, disk, the Hub, and the owner of its token. Never shows tokens
    or keys. The exit code is 0 if the recipe can be built, else 1.

    \b
    Example:
      unicorn-hf doctor
      unicorn-hf doctor unicorn-1.2m --json
    """
    from rich.console import Console

    from unicorn_hf.views.doctor import examine, show

    with Console(stderr=True).status("Importing packages, contacting the Hub"):
        try:
            planned = chosen.plan()
        except InputError as error:
            checkup = examine(chosen.recipe, Path(chosen.out), 0, obstacle=error)
        else:
            checkup = examine(chosen.recipe, planned.local_dir, planned.num_disk_bytes)
    _show(checkup, as_json, show)
    raise SystemExit(0 if checkup.can_build else 1)


@main.group()
def requests() -> None:
    """Write requests to a file, and read answers.

    For a model on a machine without a network, where a batch runner answers the file.

    Repeat both commands until `export` finds no requests: conversations need captions first.

    \b
    Example:
      unicorn-hf requests export my.yaml --file requests.jsonl
      unicorn-hf requests collect my.yaml --file answers.jsonl
    """


@requests.command("export")
@_of_recipe(_SET_OPTIONS[:2], _PLACES, _RECIPE_OPTIONS)
@click.option("--file", type=_FILE, metavar="FILE.jsonl", required=True, help="The file to write.")
def export_requests(chosen: _Chosen, file: Path) -> None:
    """Write the next requests without a stored answer.

    Each line is one of OpenAI's batch requests, as `vllm run-batch` reads them. The engine of RECIPE must be `batch` or
    `endpoint`; the command needs no server.

    \b
    Example:
      unicorn-hf requests export my.yaml --engine batch --llm Qwen/Qwen2.5-7B-Instruct --file requests.jsonl
    """
    from unicorn_hf.pipeline.requests import export_requests as run

    with _progress() as progress:
        num_requests = run(chosen.plan(), file, progress)
    if num_requests:
        _echo(f"{num_requests:,} requests: {file}\nStore their answers with: unicorn-hf requests collect")
    else:
        _echo("All answers are stored. Nothing was written; make the set with: unicorn-hf build")


@requests.command("collect")
@_of_recipe(_SET_OPTIONS[:2], _PLACES, _RECIPE_OPTIONS)
@click.option(
    "--file", "files", type=_FILE, metavar="FILE.jsonl", multiple=True, required=True,
    help="A file of answers, or of errors; repeatable.",
)  # fmt: skip
@_json
def collect_requests(chosen: _Chosen, files: tuple[Path, ...], as_json: bool) -> None:
    """Store the answers to the requests of `export`.

    Every build with the model of RECIPE finds them. The command reads output files of `vllm run-batch` and of OpenAI's
    batches. They may be incomplete, or collected before.

    \b
    Example:
      unicorn-hf requests collect my.yaml --engine batch --llm Qwen/Qwen2.5-7B-Instruct --file answers.jsonl
    """
    from unicorn_hf.pipeline.requests import collect_answers

    found = collect_answers(chosen.plan(), files)
    if as_json:
        _print_json(found)
        return
    _echo(f"{found.stored:,} new answers, {found.known:,} stored before, {found.unanswered:,} requests without one")
    if found.foreign:
        _echo(f"{found.foreign:,} lines belong to no request of unicorn-hf")


@main.command()
@click.argument("folder", metavar="DIR|URL", type=FOLDER)
@click.option("--keep-answers", is_flag=True, help="Keep the model answers, the costly part of a build.")
def clean(folder: str, keep_answers: bool) -> None:
    """Delete the work files of the build in DIR.

    The built folder stays. If the work folder is elsewhere, give its URL, or its path without `.work`.

    \b
    Example:
      unicorn-hf clean unicorn --keep-answers
    """
    from unicorn_hf.pipeline.cleaning import clean as run

    num_bytes = run(folder, keep_answers=keep_answers)
    _echo(f"{num_bytes / 2**20:,.1f} MiB of work files deleted")


def _echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print for a person; escape control characters, which untrusted sets and files may hold."""
    click.echo(visible_lines(text), err=err, nl=nl)


def _show(result: _Result, as_json: bool, draw: "Callable[[_Result, Console], None]") -> None:
    from rich.console import Console

    _print_json(result) if as_json else draw(result, Console())


def _print_json(result: object) -> None:
    """Print a model, dataclass or dictionary in ASCII, so that control characters of a row are escaped."""
    import json

    from pydantic_core import to_jsonable_python

    click.echo(json.dumps(to_jsonable_python(result), indent=2))


def _overrides(recipe: str, kind: str, options: dict[str, Any]) -> dict[str, object]:
    """Dotted recipe keys for the options given; `kind` is the kind of the recipe's engine."""
    names_engine = any(options.get(name) not in (None, ()) for name in ("engine", "llm", "base_url"))
    engine = _engine_overrides(recipe, kind, options) if names_engine else {}
    given = _given(options) | engine | _seed_overrides(options)
    return given | dict(map(_setting, options.get("settings", ())))


def _setting(text: str) -> tuple[str, object]:
    """A key and its value, parsed as YAML."""
    from unicorn_hf.core.yaml_text import read_yaml

    key, equals, value = text.partition("=")
    if key and equals:
        with suppress(InputError):
            return key.strip(), read_yaml(value, key)[0]
    raise InputError(f"--set {text}: expected KEY=VALUE", "For example: --set captions.sampling.temperature=0.9")


def _given(options: dict[str, Any]) -> dict[str, object]:
    given = {key: options[name] for name, key in _KEYS.items() if options.get(name) not in (None, ())}
    return {
        key: str(value.expanduser().absolute()) if isinstance(value, Path) else value for key, value in given.items()
    }


def _engine_overrides(recipe: str, current: str, options: dict[str, Any]) -> dict[str, object]:
    """The recipe's engine with another model or URL, or an engine of another kind with its defaults."""
    from unicorn_hf.core.choices import ENGINES

    urls = options["base_url"]
    given = {"model": options["llm"], "base_url": urls[0] if len(urls) == 1 else list(urls) or None}
    given = {key: value for key, value in given.items() if value is not None}
    kind = options["engine"] or _engine_taking(given, current)
    engine = ENGINES.get(kind)
    for key in given.keys() - engine.options.keys():
        option = _ENGINE_OPTIONS[key]
        raise InputError(
            f"--engine {kind} takes no {option}", f"Omit {option}, or use --engine {_engine_taking(given, current)}."
        )
    if kind != current:
        for key, option in engine.options.items():
            if key not in given and key not in engine.optional:
                raise InputError(f"the recipe {recipe} has no {key} for {kind}", f"Add {option}.")
        return {"engine": {"kind": kind, **given}}
    if "model" in given and "revision" in engine.model_fields:
        given["revision"] = None  # The recipe's revision belongs to its own model.
    return {f"engine.{key}": value for key, value in given.items()}


def _engine_taking(given: dict[str, Any], current: str) -> str:
    """The kind of engine that takes these keys: the recipe's own, else the one with the fewest other keys."""
    from unicorn_hf.core.choices import ENGINES

    taking = {name: engine for name, engine in ENGINES.loadable().items() if engine.options.keys() >= given.keys()}
    return current if current in taking else min(taking, key=lambda name: len(taking[name].options))


def _seed_overrides(options: dict[str, Any]) -> dict[str, object]:
    files, column = options.get("seed_files"), options.get("seed_column")
    if not files:
        if column:
            raise InputError("--seed-column requires --seeds")
        return {}
    paths = [str(path.expanduser().absolute()) for path in files]
    return {"seeds.sources": [{"kind": "file", "path": path, "column": column} for path in paths]}


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Stop as for an interrupt where a scheduler of jobs ends the process: the work folder is released."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress() -> Iterator["Progress"]:
    from unicorn_hf.runtime.progress import LiveProgress, PlainProgress

    if sys.stderr.isatty():
        with LiveProgress() as progress:
            yield progress
    else:
        yield PlainProgress()


def _show_plan(planned: "Plan", need: "Need") -> None:
    from unicorn_hf.core.choices import TRANSFERS
    from unicorn_hf.core.languages import english_name

    recipe, vectors = planned.recipe, planned.recipe.representations
    transfer = TRANSFERS.get(vectors.transfer)
    has_images = bool(vectors.image_statistics) or not transfer.needs_images
    lines = {
        "recipe": recipe.name,
        **({"from": f"{recipe.parent.dataset} (text {recipe.parent.text})"} if recipe.parent else {}),
        "seeds": ", ".join(source.name or source.place for source in recipe.seeds.used),
        "captions": f"{recipe.captions.num:,}",
        "instructions": f"{recipe.instructions.num:,}",
        "language": ", ".join(map(english_name, recipe.language)),
        "engine": f"{recipe.engine.kind} {recipe.engine.model_name}".strip(),
        "encoder": vectors.encoder,
        "transfer": vectors.transfer
        if has_images
        else f"{transfer.fallback}: {vectors.transfer} needs image statistics",
        "workers": planned.place.words,
        "disk": f"about {planned.num_disk_bytes / 2**20:,.0f} MiB",
        "requests": need.words,
        "work folder": str(planned.work_dir),
        "answers": f"{planned.answers} ({need.num_answers:,} stored)",
        "data set": str(planned.out),
        **({"warning": planned.place.warning} if planned.place.warning else {}),
    }
    if recipe.takes_text:
        lines["engine"] = "none: the text exists"
        del lines["requests"], lines["answers"]
    for name, value in lines.items():
        _echo(f"{name:>13}  {value}")


def _show_result(result: "BuildResult", out: Path) -> None:
    statistics = result.statistics
    for name, rows in result.examples.items():
        click.secho(f"\n{name}", bold=True)
        for row in rows:
            _echo(f"  {row['id']}  {row.get('task', row['domain'])}")
            for turn in row["conversations"]:  # type: ignore[attr-defined]
                text = " ".join(turn["value"].split())
                _echo(f"    {turn['from']:>5}: {text if len(text) <= 160 else text[:157] + '...'}")
    _echo(
        f"\n{statistics.pretrain.num_rows:,} captions and {statistics.instruction.num_rows:,} conversations"
        f" are in {out}/"
    )
    _echo("\nLoad them:\n  from datasets import load_dataset")
    for name in result.examples:
        _echo(f'  {name} = load_dataset("{out}", "{name}", split="train")')


def _evaluation_source(path: str, column: str | None, config: str | None, split: str, name: str | None) -> "SeedSource":
    from unicorn_hf.seeds.sources.dataset import DatasetSource
    from unicorn_hf.seeds.sources.file import SUFFIXES, FileSource

    if Path(path).suffix.lower() in SUFFIXES:
        return FileSource(path=path, column=column, name=name)
    if not column:
        raise InputError(f"--column is required: the column of {path} that holds the texts")
    return DatasetSource(kind="dataset", path=path, config=config, split=split, column=column, name=name)


def _show_gap(facts: "GapFacts") -> None:
    _echo(f"{'':50}{'before':>9}{'after':>9}")
    for name, before, after in facts.rows():
        _echo(f"{name:50}{before:>9.4f}{after:>9.4f}")
    _echo(f"{'cosine of the gap before and after':50}{facts.direction_kept:>18.4f}")
    if facts.instances_kept is not None and facts.similarities_kept is not None:
        _echo(f"{'cosine of a text before and after':50}{facts.instances_kept:>18.4f}")
        _echo(f"{'correlation of cosines of texts before and after':50}{facts.similarities_kept:>18.4f}")
    _echo(f"{f'share of {facts.num_neighbours} nearest texts kept by the transfer':50}{facts.neighbours_kept:>18.4f}")


def _show_scores(sources: Sequence[str], scores: Sequence["Score"]) -> None:
    for source, score in zip(sources, scores, strict=True):
        guesses = f", guesses {score.chance:.1f}" if score.chance is not None else ""
        _echo(f"{source}: {score.shown} right; blind {score.blind:.1f}{guesses}, most common {score.most_common:.1f}")
        for name, value in {**score.per_kind, **score.measures}.items():
            _echo(f"    {name}: {value:.1f}")
    first = scores[0]
    _echo(f"{first.num_questions:,} questions about {first.num_pictures:,} pictures of {first.on} ({first.on_id[:6]})")
    if len({score.setting for score in scores}) > 1:
        _echo("The scores are of different settings (encoder, or what was trained), and are not comparable.")


def _show_push(result: "PushResult") -> None:
    sent = f"{result.num_files_sent} files sent" if result.changed else "no changes"
    done = f"Proposed: {result.pull_request}" if result.pull_request else f"Published: {result.url}"
    _echo(f"\n{done} ({sent})\n  from datasets import load_dataset\n  {result.load_line}")
    if result.left_out:
        _echo(f"Skipped, because not part of the data set: {', '.join(result.left_out)}")
    if result.pull_request is None:
        owner = result.repo_id.partition("/")[0]
        _echo(
            f"Add it to a collection:  hf collections add-item {owner}/COLLECTION {result.repo_id} dataset\n"
            f'Get a DOI:  "Generate DOI" in {result.page}/settings\n'
            f"In the model cards of those who train on it:  datasets: [{result.repo_id}]\n"
            f"Cite it:  {result.page}#citation"
        )


def _show_push_plan(planned: "PushPlan") -> None:
    if planned.creates_repository:
        _echo(f"create  the data set {planned.repo_id}")
    if planned.creates_branch:
        _echo("create  the branch from main")
    for file in planned.to_send:
        _echo(f"send    {file.path} ({file.size:,} bytes)")
    for action, paths in (("delete", planned.to_delete), ("keep", planned.to_keep), ("skip", planned.left_out)):
        for path in paths:
            _echo(f"{action:<7} {path}")
    for copy in planned.near_copies:
        _echo(f"warning: this is {copy.words}")
    num_bytes = sum(file.size for file in planned.to_send)
    _echo(
        f"{len(planned.to_send)} files to send ({num_bytes / 2**20:,.1f} MiB), {len(planned.to_delete)} to delete,"
        f" {len(planned.to_keep)} to keep. Nothing was changed (--dry-run)."
    )


def _fail(message: str, exit_code: int) -> NoReturn:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    _echo(message, err=True)
    raise SystemExit(exit_code)
