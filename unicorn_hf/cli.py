"""The command `unicorn-hf`: options to recipe, errors to messages."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from unicorn_hf.core.errors import InputError, UnicornError
from unicorn_hf.core.visible import visible_lines
from unicorn_hf.params import (
    ChoiceOf,
    ClusterName,
    DescribedOption,
    EncoderName,
    PlaceName,
    RecipeName,
    SetName,
    WritingEngine,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from unicorn_hf.core.recipe import Recipe
    from unicorn_hf.core.sources import SeedSource
    from unicorn_hf.hub.consent import MissingModel
    from unicorn_hf.hub.push import PushPlan, PushResult
    from unicorn_hf.needed import Need
    from unicorn_hf.pipeline import BuildResult, Plan
    from unicorn_hf.representations.figures import GapFacts
    from unicorn_hf.runtime.progress import Progress

_INTERRUPTED = 130
_DEMO_MODELS = """
Small models for demonstration made this set: it shows the road, not the quality. Do not train on it.
A real run takes a GPU, an instruction model of 7 B parameters or more, and a CLIP text tower:
  unicorn-hf build --seeds captions.txt --captions 100000 --instructions 40000 \\
    --llm Qwen/Qwen2.5-7B-Instruct --encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k"""
_ENGINE_OPTIONS = {"model": "--llm", "base_url": "--base-url"}
"""By the keys of an engine that they set."""
_IMPORT_KEYS = {
    "captions": "captions.num",
    "instructions": "instructions.num",
    "transfer": "representations.transfer",
    "image_statistics": "representations.image_statistics",
    "workers": "cluster.workers",
}
_BUILD_KEYS = {
    "encoder": "representations.encoder",
    "cluster": "cluster.kind",
    "dashboard": "cluster.dashboard",
    "random_seed": "random_seed",
    "languages": "language",
    "exclude_benchmarks": "seeds.exclude_benchmarks",
}
"""Keys of the recipe by the options that set them."""
_DIR = click.Path(path_type=Path, file_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")

_RECIPE_OPTIONS = (
    click.option(
        "--seeds",
        "seed_files",
        type=click.Path(path_type=Path),
        multiple=True,
        help="A file of seeds instead of the recipe's (.txt, .csv, .tsv, .jsonl, .json, .parquet); repeatable.",
    ),
    click.option("--seed-column", help="The column of --seeds that holds the seeds."),
    click.option(
        "--language",
        "languages",
        multiple=True,
        metavar="CODE",
        help="What captions and conversations are written in, as zh; repeatable.  [default: the recipe's, mostly en]",
    ),
    click.option(
        "--exclude-benchmarks",
        is_flag=True,
        default=None,
        help="Leave out the recipe's seeds that are labels of evaluation benchmarks.",
    ),
    click.option("--captions", type=click.IntRange(min=1), help="Captions to keep."),
    click.option("--instructions", type=click.IntRange(min=0), help="Conversations to keep; 0 for captions alone."),
    click.option(
        "--engine",
        type=WritingEngine(),
        help="Text generator.",
    ),
    click.option(
        "--llm",
        help="The model: a Hub name, a folder, or a server's name for it. Other engine settings stay the recipe's.",
    ),
    click.option(
        "--base-url",
        metavar="URL",
        multiple=True,
        help="The server of --engine endpoint; its key: UNICORN_HF_API_KEY. Repeat it for several of the same model.",
    ),
    click.option(
        "--encoder",
        type=EncoderName(),
        help="Encodes the captions.",
    ),
    click.option("--transfer", type=ChoiceOf("TRANSFERS"), help="From text to image representations."),
    click.option(
        "--image-statistics",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The image side for the transfer: a file that `calibrate` made.",
    ),
    click.option(
        "--cluster",
        type=ClusterName(),
        metavar="WHERE",
        help="Where the workers run: auto (a worker a GPU where there are some), local, cuda, or the address"
        " (tls://HOST:8786) or file of a Dask scheduler.",
    ),
    click.option("--workers", type=click.IntRange(min=1), help="Worker processes."),
    click.option(
        "--dashboard",
        is_flag=True,
        default=None,
        help="Show Dask's page about the workers that are started here. Every user of the machine can open it.",
    ),
    click.option("--random-seed", type=int, help="Random seed: with another one, the same recipe gives another set."),
    click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        multiple=True,
        help="Any other key of the recipe, as in captions.sampling.temperature=0.9; repeatable.",
    ),
)

"""What overrides a recipe."""
_yes = click.option(
    "--yes", is_flag=True, help="Download the models that the recipe of a published set names without asking."
)
_SET_OPTIONS = (
    click.option(
        "--from",
        "parent",
        type=SetName(),
        metavar="ORG/NAME|DIR",
        help="Make this published set again, in place of RECIPE: what the other options do not change is taken over.",
    ),
    click.option("--revision", help="A branch, tag or commit of --from ORG/NAME."),
    _yes,
)
"""Of commands that work from a recipe or from a published set."""
_PLACES = (
    click.option(
        "--out", type=PlaceName(), metavar="DIR", default="unicorn", show_default=True, help="The folder to publish."
    ),
    click.option(
        "--work-dir",
        type=PlaceName(),
        metavar="DIR|URL",
        help="Work files: answers, shards, records; s3://BUCKET/PATH and the like too.  [default: OUT.work]",
    ),
    click.option(
        "--answers",
        type=PlaceName(),
        metavar="DIR|URL",
        help="Where answers of models are stored and found; builds may share it.  [default: in the work folder]",
    ),
)
_PUSH_OPTIONS = (
    click.option("--push", "repo_id", metavar="ORG/NAME", help="Publish to this repository of the Hub when done."),
    click.option("--private", is_flag=True, help="Make the repository private, if --push creates it."),
    click.option("--overwrite", is_flag=True, help="Let --push replace what unicorn-hf did not make."),
)
"""Of commands that make a set and may publish it."""

_Command = Callable[..., None]


def _with(options: Sequence[Callable[[_Command], _Command]]) -> Callable[[_Command], _Command]:
    """Options that several commands have."""

    def decorated(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="unicorn-hf")
def main() -> None:
    """Vision-language training data from text alone.

    \b
    unicorn-hf build                     the demonstration set, on any machine
    unicorn-hf build my.yaml --push ORG/NAME
    """


@main.command()
@click.argument("recipe", type=RecipeName(), default="demo")
@_with(_SET_OPTIONS)
@_with(_PLACES)
@_with(_RECIPE_OPTIONS)
@_with(_PUSH_OPTIONS)
@click.option(
    "--max-cost", type=click.FloatRange(min=0, min_open=True),
    help="Stop when the total cost of all runs of this build exceeds this, by the recipe's price.",
)  # fmt: skip
@click.option(
    "--max-hours", type=click.FloatRange(min=0, min_open=True), help="End this run when it has lasted so many hours."
)
@click.option("--dry-run", is_flag=True, help="As `unicorn-hf plan --sample 0`: show what would be done; ask nothing.")
def build(
    recipe: str, parent: str | None, revision: str | None, yes: bool,
    out: str, work_dir: str | None, answers: str | None,
    repo_id: str | None, private: bool, overwrite: bool, max_cost: float | None, max_hours: float | None, dry_run: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Make the data sets that RECIPE describes.

    RECIPE is a YAML file, or a name: `demo`, `parti` or `unicorn-1.2m`. Options override what it says. Stopped in the
    middle, the same command goes on where it was.

    \b
    Example:
      unicorn-hf build --seeds captions.txt --captions 1000 --instructions 400 --llm Qwen/Qwen2.5-7B-Instruct
      unicorn-hf build --from ORG/NAME --transfer none --out other --push ME/NAME-other
    """
    with _errors():
        from unicorn_hf.hub.options import PushOptions
        from unicorn_hf.pipeline import plan

        chosen = _chosen(recipe, parent, revision, options)
        planned = plan(chosen.recipe, out, work_dir, answers)
        if dry_run:
            _plan(planned, sample=0, workers=None, as_json=False)
            return
        chosen.ask(yes)
        push = PushOptions(private=private, overwrite=overwrite)
        _build(planned, out, push=repo_id, options=push, max_cost=max_cost, max_hours=max_hours)


@dataclass(frozen=True)
class _Chosen:
    """A recipe with the options set."""

    recipe: "Recipe"
    keys: frozenset[str]
    """What the options set."""
    published: str = ""
    """The published set that the recipe is of, if it is of one."""

    def ask(self, yes: bool) -> None:
        """Ask before models are downloaded that somebody else chose.

        Raises:
            InputError: nobody answers, or the answer is no.
        """
        from unicorn_hf.hub.consent import models_to_download

        if self.published and not yes:
            _ask(self.published, models_to_download(self.recipe, self.keys))


def _chosen(recipe: str, parent: str | None, revision: str | None, options: dict[str, Any]) -> _Chosen:
    if parent:
        return _child(parent, revision, options)
    from unicorn_hf.core.foreign import is_of_a_set
    from unicorn_hf.core.recipe_file import load_recipe, read_document

    if revision:
        raise InputError("--revision goes with --from ORG/NAME")
    document = read_document(recipe)
    overrides = _overrides(recipe, document.engine_kind, options)
    published = recipe if is_of_a_set(Path(recipe)) else ""
    return _Chosen(load_recipe(document, overrides, tell=_tell), frozenset(overrides), published)


def _child(parent: str, revision: str | None, options: dict[str, Any]) -> _Chosen:
    from unicorn_hf.hub.regenerate import child_recipe, read_published

    if click.get_current_context().get_parameter_source("recipe") is not ParameterSource.DEFAULT:
        raise InputError("--from brings the recipe of its set", "Omit RECIPE.")
    published = read_published(parent, revision)
    if published.taken.told:
        _tell(published.taken.told)
    overrides = _overrides(parent, published.recipe.engine.kind, options)
    return _Chosen(child_recipe(published, overrides), frozenset(overrides), parent)


def _ask(source: str, models: "Sequence[MissingModel]") -> None:
    if not models:
        return
    names = "\n".join(f"  {model}" for model in models)
    question = f"The recipe of {source} names models that are not on this machine:\n{names}\n"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(
            f"{question}Nothing was downloaded.",
            "--yes downloads them; --llm MODEL and --encoder ENCODER name your own.",
        )
    if not click.confirm(visible_lines(f"{question}Download them?"), err=True):
        raise InputError("nothing was downloaded", "--llm MODEL and --encoder ENCODER name your own.")


def _tell(line: str) -> None:
    _echo(line, err=True)


def _build(planned: "Plan", out: str, **options: Any) -> None:
    from unicorn_hf.pipeline import execute

    with _progress() as progress:
        result = execute(planned, progress=progress, **options)
    _show_result(result, Path(out))
    if _uses_demo_models(planned.recipe):
        _echo(_DEMO_MODELS)
    if result.pushed:
        _show_push(result.pushed)


@main.command()
@click.argument("recipe", type=RecipeName(), default="demo")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    help="Captions to make for the estimate; with 0 nothing is asked.",
)
@_with(_SET_OPTIONS)
@_with(_PLACES)
@_with(_RECIPE_OPTIONS)
@_json
def plan(
    recipe: str, parent: str | None, revision: str | None, yes: bool, sample: int,
    out: str, work_dir: str | None, answers: str | None, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Show what a build of RECIPE would do and take.

    First what is planned, and how many requests have no stored answer. Then requests, tokens, hours, price, disk,
    upload, each with its error: a sample is made with the recipe's own engine and encoder, and deleted.
    --workers is the number of workers to assume for the wall time.

    \b
    Example:
      unicorn-hf plan my.yaml --sample 256 --workers 8
    """
    with _errors():
        from unicorn_hf.pipeline import plan as resolve

        workers, options["workers"] = options["workers"], None
        chosen = _chosen(recipe, parent, revision, options)
        planned = resolve(chosen.recipe, out, work_dir, answers)
        if sample:
            chosen.ask(yes)
        _plan(planned, sample=sample, workers=workers, as_json=as_json)


def _plan(planned: "Plan", *, sample: int, workers: int | None, as_json: bool) -> None:
    from unicorn_hf.needed import requests_needed

    need = requests_needed(planned)
    if not as_json:
        _show_plan(planned, need)
    if not sample:
        _print_json({"needed": need}) if as_json else _echo("Nothing was asked, and nothing was done.")
        return
    from unicorn_hf.estimate import estimate, lines

    with _progress() as progress:
        found = estimate(planned, sample=sample, workers=workers, progress=progress)
    if as_json:
        _print_json({"needed": need, **dict(found)})
    else:
        _echo("\n".join(["", *lines(found)]))


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@click.argument("repo_id", metavar="ORG/NAME")
@click.option("--private", is_flag=True, help="Make the repository private, if it is created.")
@click.option("--overwrite", is_flag=True, help="Replace card and data of a repository that unicorn-hf did not make.")
@click.option("--branch", metavar="NAME", help="Push to this branch, created from main if need be.  [default: main]")
@click.option("--tag", metavar="NAME", help="Tag the commit that holds the data set.")
@click.option("--pr", is_flag=True, help="Open a pull request instead of writing to main.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, deleted and kept; write nothing.")
@_json
def push(folder: Path, repo_id: str, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Publish the built folder DIR as ORG/NAME on the Hub.

    A set that is not valid is refused: its card, counts, schemas and first rows are checked before anything is sent.
    Stopped in the middle, the same command sends only what is missing.

    \b
    Example:
      unicorn-hf push unicorn my-name/unicorn --tag v1.0
    """
    with _errors():
        from unicorn_hf.hub import PushOptions, plan_push
        from unicorn_hf.pipeline import check_set, push_dataset

        if dry_run:
            planned = plan_push(folder, repo_id, PushOptions(**options))
            check_set(folder)
            _print_json(planned) if as_json else _show_push_plan(planned)
            return
        with _progress() as progress:
            result = push_dataset(folder, repo_id, PushOptions(**options), progress=progress)
        _print_json(result) if as_json else _show_push(result)


@main.command()
@click.argument("source", type=SetName(), metavar="DIR|ORG/NAME")
@click.option("--revision", help="A branch, tag or commit of ORG/NAME.")
@_json
def validate(source: str, revision: str | None, as_json: bool) -> None:
    """Check a published data set, row by row.

    A folder, or a repository of the Hub, which is downloaded. Schemas, counts, ids, conversations, vectors, hashes, and
    the card against the data. The exit code is 0 where all is as it must be, and 1 where it is not; every problem is
    told with its file, row (from 0) and field.

    \b
    Example:
      unicorn-hf validate unicorn --json > report.json
    """
    with _errors():
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
    """Make the card of the built folder DIR again.

    README.md is made out of its recipe, statistics and first rows. What was changed in it by hand is lost. Nothing else
    is touched.

    \b
    Example:
      unicorn-hf card unicorn
    """
    with _errors():
        from unicorn_hf.pipeline import write_card

        _echo(f"Written: {write_card(folder)}")


def _pictures(num: int) -> "Callable[[Callable[..., None]], Callable[..., None]]":
    """The options that say which pictures, `num` of them unless said otherwise."""
    options = (
        click.option("--images", required=True, metavar="DATASET_OR_FOLDER", help="Real pictures; no texts needed."),
        click.option(
            "--num-images", type=click.IntRange(min=2), default=num, show_default=True, help="Pictures to take at most."
        ),
        click.option("--images-config", help="The config, of a data set."),
        click.option("--images-split", default="train", show_default=True, help="The split, of a data set."),
    )

    def with_options(command: "Callable[..., None]") -> "Callable[..., None]":
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


@main.command()
@_pictures(10_000)
@click.option("--encoder", type=EncoderName(), metavar="ENCODER", required=True, help="The encoder, as for build.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("image_statistics.safetensors"),
    show_default=True, help="The file to write.",
)  # fmt: skip
@_json
def calibrate(
    images: str, num_images: int, images_config: str | None, images_split: str, encoder: str, out: Path, as_json: bool
) -> None:
    """Measure where an encoder's images are, for a transfer.

    Mean and variance of pictures are written to a file for `build --image-statistics`. The pictures need not have
    anything to do with the seeds, but should be of the kind that the model will see.

    \b
    Example:
      unicorn-hf calibrate --images photos/ --encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k
    """
    with _errors():
        from unicorn_hf.representations.calibrate import calibrate as run
        from unicorn_hf.representations.pictures import PictureSource

        pictures = PictureSource(images, num_images, images_config, images_split)
        with _progress() as progress:
            statistics = run(pictures, encoder, out, progress)
        moments = statistics.moments
        if as_json:
            _print_json({"num_images": moments.count, "trace": moments.trace, "dim": len(moments.mean), "out": out})
            return
        _echo(f"{moments.count:,} pictures, mean squared distance from their mean {moments.trace:.4f}: {out}")


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@_pictures(2000)
@click.option(
    "--encoder",
    type=EncoderName(),
    metavar="ENCODER",
    help="The set's encoder, if it lies elsewhere than its recipe says.",
)
@click.option("--num-texts", type=click.IntRange(min=10), default=2000, show_default=True, help="Rows to compare.")
@click.option("--plot/--no-plot", default=True, help="Draw the picture.")
@_yes
@_json
def gap(
    folder: Path,
    images: str,
    num_images: int,
    images_config: str | None,
    images_split: str,
    encoder: str | None,
    num_texts: int,
    plot: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Measure how far a set's vectors are from real pictures.

    Of the built folder DIR, before and after the transfer. The figures go into its statistics and its card, the picture
    into assets/.

    \b
    Example:
      unicorn-hf gap unicorn --images photos/
    """
    with _errors():
        from unicorn_hf.hub.consent import encoder_models_to_download
        from unicorn_hf.pipeline import measure_gap, set_encoder
        from unicorn_hf.representations.pictures import PictureSource

        pictures = PictureSource(images, num_images, images_config, images_split)
        if not encoder and not yes:
            _ask(str(folder), encoder_models_to_download(set_encoder(folder)))
        with _progress() as progress:
            facts = measure_gap(folder, pictures, encoder=encoder, num_texts=num_texts, plot=plot, progress=progress)
        _print_json(facts) if as_json else _show_gap(facts)


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@click.option(
    "--with",
    "evaluation",
    required=True,
    metavar="FILE|DATASET",
    help="The evaluation set's texts: a .txt, .csv, .tsv, .jsonl, .json or .parquet file, or a data set of the Hub.",
)
@click.option("--column", help="The column with its texts; needed of a data set, and of a file with several.")
@click.option("--config", help="Of a data set: its config.")
@click.option("--split", default="test", show_default=True, help="Of a data set: its split.")
@click.option("--name", help="What the card calls it.  [default: the file's or the data set's name]")
@_json
def overlap(
    folder: Path, evaluation: str, column: str | None, config: str | None, split: str, name: str | None, as_json: bool
) -> None:
    """Count rows that share text with an evaluation set.

    Of the built folder DIR, those that have eight words in a row with a text of it. The figures go into its statistics
    and its card, beside those of other evaluation sets.

    \b
    Example:
      unicorn-hf overlap unicorn --with questions.jsonl --column question
      unicorn-hf overlap unicorn --with lmms-lab/POPE --column question
    """  # fmt: skip
    with _errors():
        from unicorn_hf.pipeline import measure_overlap

        with _progress() as progress:
            source = _evaluation_source(evaluation, column, config, split, name)
            facts, examples = measure_overlap(folder, source, progress=progress)
        if as_json:
            _print_json(facts.model_dump() | {"examples": examples})
            return
        _echo(
            f"{facts.num_pretrain:,} rows of pretrain and {facts.num_instruction:,} of instruction share "
            f"{facts.run_words} words in a row with one of the {facts.num_texts:,} texts of {facts.name}"
        )
        if examples:
            _echo(f"The first of them: {', '.join(examples)}")


@main.command()
@click.argument("folder", metavar="DIR", type=_DIR)
@click.option(
    "--format",
    "form",
    required=True,
    type=ChoiceOf("EXPORTS"),
    cls=DescribedOption,
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to write; it must not exist.")
def export(folder: Path, form: str, out: Path) -> None:
    """Write the built folder DIR in a form that a trainer reads.

    \b
    Example:
      unicorn-hf export unicorn --format bunny --out unicorn-bunny
    """  # fmt: skip
    with _errors():
        from unicorn_hf.interchange.export import export as run

        with _progress() as progress:
            run(folder, form, out, progress=progress)
        _echo(f"{out}/ holds the set in the form {form}")


@main.command("import")
@click.argument("files", metavar="FILES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=PlaceName(), metavar="DIR", required=True, help="The folder to publish.")
@click.option(
    "--work-dir", type=PlaceName(), metavar="DIR|URL", help="Work files: shards, records.  [default: OUT.work]"
)
@click.option("--column", help="The column or key of the captions.  [default: caption or text]")
@click.option("--domain", default="open-domain", show_default=True, help="The domain of captions that name none.")
@click.option("--license", "license_name", default="unknown", show_default=True, help="The files' licence, an id.")
@click.option("--llm", help="The model that wrote the text, for the card. Nothing is written here.")
@click.option(
    "--language", "languages", multiple=True, default=("en",), show_default=True, metavar="CODE",
    help="The text's language; repeatable.",
)  # fmt: skip
@click.option("--title", default="Imported captions", show_default=True, help="The card's title.")
@click.option("--captions", type=click.IntRange(min=1), help="Captions to take, the first ones.  [default: all]")
@click.option("--instructions", type=click.IntRange(min=0), help="Conversations to take.  [default: all]")
@click.option(
    "--encoder", type=EncoderName(), metavar="ENCODER",
    help="Encodes the captions, as for build.  [default: the vectors in the files, as they are]",
)  # fmt: skip
@click.option(
    "--transfer", type=ChoiceOf("TRANSFERS"),
    help="From text to image representations.  [default: mean_shift with --encoder, else none]",
)  # fmt: skip
@click.option(
    "--image-statistics", type=click.Path(path_type=Path, dir_okay=False),
    help="The image side for the transfer: a file that `calibrate` made.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@_with(_PUSH_OPTIONS)
def import_(files: tuple[Path, ...], out: str, **options: Any) -> None:
    """Make a set of captions and conversations of others.

    They are encoded and packaged, with a card. FILES are captions (.txt, .csv, .tsv, .jsonl, .json, .parquet), lists of
    conversations in the form of LLaVA, the original release, a folder that `export` wrote, or a built one. Ids are
    kept; rows that hold no caption are counted.

    \b
    Example:
      unicorn-hf import captions.json instruction.json --out my-set --encoder clip:openai/clip-vit-large-patch14
    """
    with _errors():
        from unicorn_hf.hub.options import PushOptions
        from unicorn_hf.interchange.recipe import import_recipe
        from unicorn_hf.pipeline import plan

        recipe = import_recipe(
            files,
            encoder=options["encoder"],
            column=options["column"],
            domain=options["domain"],
            license=options["license_name"],
            model=options["llm"],
            title=options["title"],
            languages=options["languages"],
            overrides=_given(options, _IMPORT_KEYS),
        )
        push = PushOptions(private=options["private"], overwrite=options["overwrite"])
        _build(plan(recipe, out, options["work_dir"]), out, push=options["repo_id"], options=push)


@main.command()
@click.argument("sources", type=SetName(), metavar="DIR|ORG/NAME...", nargs=-1, required=True)
@_json
@click.option("--markdown", "as_markdown", is_flag=True, help="The same as tables in Markdown.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw it too, into this PNG file.")
def compare(sources: tuple[str, ...], as_json: bool, as_markdown: bool, picture: Path | None) -> None:
    """Compare data sets.

    Counts, lengths, variety, duplicates, rejections, cost, modality gap, tasks, domains. Figures are those of their
    statistics; of a set without, rows are counted. Captions that sets share are looked for in the rows.

    \b
    Example:
      unicorn-hf compare unicorn other ORG/NAME --picture sets.png
    """
    with _errors():
        from unicorn_hf.hub.fetch import COMPARED, local_folder
        from unicorn_hf.views.compare import compare as run
        from unicorn_hf.views.compare import markdown, show

        if as_json and as_markdown:
            raise InputError("--json and --markdown are two forms of the same", "Take one.")
        with _progress() as progress:
            comparison = run([local_folder(source, patterns=COMPARED) for source in sources], sources, progress)
        if picture:
            from unicorn_hf.views.compare_picture import draw

            draw(comparison, picture)
        if as_json:
            _print_json(comparison)
        elif as_markdown:
            _echo(markdown(comparison), nl=False)
        else:
            from rich.console import Console

            show(comparison, Console())


@main.command()
@click.argument("source", type=SetName(), metavar="DIR|ORG/NAME")
@click.option("--revision", help="A branch, tag or commit, of a repository on the Hub.")
@click.option(
    "--sample", "number", type=click.IntRange(min=0), default=3, show_default=True, help="Rows of each config."
)
@click.option("--filter", "having", metavar="TEXT", help="Only rows that have this in caption, seed or conversation.")
@_json
def inspect(source: str, revision: str | None, number: int, having: str | None, as_json: bool) -> None:
    """Look at a set in the terminal.

    Figures, rows with their conversations, and rejections with examples. Examples of rejections are in the work files
    of a build, beside its folder.

    \b
    Example:
      unicorn-hf inspect unicorn --sample 5
      unicorn-hf inspect unicorn --filter umbrella
    """
    with _errors():
        from unicorn_hf.hub.fetch import local_folder
        from unicorn_hf.views.inspect import look, show

        view = look(local_folder(source, revision), name=source, number=number, having=having)
        if as_json:
            _print_json(view)
        else:
            from rich.console import Console

            show(view, Console())


@main.command()
@click.argument("source", type=SetName(), metavar="DIR|ORG/NAME")
@click.option("--revision", help="A branch, tag or commit, of a repository on the Hub.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
    help="The page to write.  [default: the set's name and -report.html, in this folder]",
)  # fmt: skip
@click.option(
    "--sample", "number", type=click.IntRange(min=1), default=1000, show_default=True, help="Rows of each config."
)
def report(source: str, revision: str | None, out: Path | None, number: int) -> None:
    """Write a page about a set, to open in a browser.

    Figures, charts, a map of its vectors, rows to search, and rejections with examples, in one HTML file that needs no
    network and no other file. Examples of rejections are in the work files of a build, beside its folder.

    \b
    Example:
      unicorn-hf report unicorn
      unicorn-hf report ORG/NAME --out page.html
    """
    with _errors():
        from unicorn_hf.hub.fetch import local_folder
        from unicorn_hf.views.report import check_bokeh, write_report

        check_bokeh()
        out = out or Path(f"{Path(source).absolute().name}-report.html")
        name = None if Path(source).is_dir() else source
        write_report(local_folder(source, revision), out, name=name, number=number)
        _echo(f"{out} ({out.stat().st_size / 1e6:,.1f} MB)")


@main.command()
@click.argument("folder", metavar="DIR|URL", type=PlaceName())
@click.option("--watch", is_flag=True, help="Show it again and again until the build ends.")
@_json
def status(folder: str, watch: bool, as_json: bool) -> None:
    """Show where a build is, and how long its stage will take.

    DIR is the folder of --out, whether it is there already or not, or the work folder. Only the work folder is read: it
    may be read from any machine, and it is safe while the build runs.

    \b
    Example:
      unicorn-hf status unicorn --watch
    """
    with _errors():
        from rich.console import Console

        from unicorn_hf.views import status as view

        if as_json:
            _print_json(view.status(folder))
        elif watch:
            view.watch(folder, Console())
        else:
            view.show(view.status(folder), Console())


@main.command()
@click.argument("recipe", type=RecipeName(), default="demo")
@_with(_SET_OPTIONS[:2])
@click.option(
    "--out", type=PlaceName(), metavar="DIR", default="unicorn", show_default=True, help="Where the set would be built."
)
@click.option(
    "--work-dir", type=PlaceName(), metavar="DIR|URL", help="Where its work files would lie.  [default: OUT.work]"
)
@_json
def doctor(
    recipe: str, parent: str | None, revision: str | None, out: str, work_dir: str | None, as_json: bool
) -> None:
    """Check whether RECIPE can be built here, and how to fix it.

    Versions and whether they go together, GPUs, memory, disk, the Hub and whom its token belongs to; neither token nor
    key is shown. The exit code is 0 where the recipe can be built, and 1 where it cannot.

    \b
    Example:
      unicorn-hf doctor
      unicorn-hf doctor unicorn-1.2m --json
    """
    with _errors():
        from rich.console import Console

        from unicorn_hf.pipeline import plan
        from unicorn_hf.views.doctor import examine, show

        loaded = _chosen(recipe, parent, revision, {}).recipe
        with Console(stderr=True).status("Importing what the recipe needs, asking the Hub"):
            try:
                planned = plan(loaded, out, work_dir)
            except InputError as error:
                checkup = examine(loaded, Path(out), 0, obstacle=error)
            else:
                checkup = examine(loaded, planned.local_dir, planned.num_disk_bytes)
        _print_json(checkup) if as_json else show(checkup, Console())
    raise SystemExit(0 if checkup.can_build else 1)


@main.command()
@click.argument("folder", metavar="DIR|URL", type=PlaceName())
@click.option("--keep-answers", is_flag=True, help="Leave the answers of models: they are what a build costs.")
def clean(folder: str, keep_answers: bool) -> None:
    """Delete the work files of the build in DIR.

    The published folder stays. Work files elsewhere are named by their own URL.

    \b
    Example:
      unicorn-hf clean unicorn --keep-answers
    """
    with _errors():
        from unicorn_hf.pipeline import clean as run

        num_bytes = run(folder, keep_answers=keep_answers)
        _echo(f"{num_bytes / 2**20:,.1f} MiB of work files deleted")


def _echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Lines for a person; what is shown of sets and files of others does nothing to a terminal."""
    click.echo(visible_lines(text), err=err, nl=nl)


def _print_json(result: object) -> None:
    """A model, a dataclass or a dictionary; in ASCII, so that nothing of a row reaches a terminal but as an escape."""
    import json

    from pydantic_core import to_jsonable_python

    click.echo(json.dumps(to_jsonable_python(result), indent=2))


def _overrides(recipe: str, kind: str, options: dict[str, Any]) -> dict[str, object]:
    """Dotted recipe keys for the options that were given; `kind` is that of the recipe's engine."""
    engine = _engine_overrides(recipe, kind, options) if _names_engine(options) else {}
    given = _given(options, _IMPORT_KEYS | _BUILD_KEYS) | engine | _seed_overrides(options)
    return given | dict(map(_setting, options.get("settings", ())))


def _setting(text: str) -> tuple[str, object]:
    """A key and its value, which is read as YAML."""
    from unicorn_hf.core.yaml_text import read_yaml

    key, equals, value = text.partition("=")
    if key and equals:
        with suppress(InputError):
            return key.strip(), read_yaml(value, key)[0]
    raise InputError(f"--set {text}: not KEY=VALUE", "For example: --set captions.sampling.temperature=0.9")


def _given(options: dict[str, Any], keys: dict[str, str]) -> dict[str, object]:
    given = {key: options[name] for name, key in keys.items() if options.get(name) not in (None, ())}
    return {
        key: str(value.expanduser().absolute()) if isinstance(value, Path) else value for key, value in given.items()
    }


def _names_engine(options: dict[str, Any]) -> bool:
    return any(options.get(name) not in (None, ()) for name in ("engine", "llm", "base_url"))


def _engine_overrides(recipe: str, current: str, options: dict[str, Any]) -> dict[str, object]:
    """The recipe's engine with another model or address, or an engine of another kind with its defaults."""
    from unicorn_hf.core.choices import ENGINES

    urls = options["base_url"]
    given = {"model": options["llm"], "base_url": urls[0] if len(urls) == 1 else list(urls) or None}
    given = {key: value for key, value in given.items() if value is not None}
    kind = options["engine"] or _engine_taking(given, current)
    engine = ENGINES.get(kind)
    for key in given.keys() - engine.options.keys():
        option = _ENGINE_OPTIONS[key]
        raise InputError(
            f"--engine {kind} takes no {option}", f"Omit {option}, or take --engine {_engine_taking(given, current)}."
        )
    if kind != current:
        for key, option in engine.options.items():
            if key not in given:
                raise InputError(f"the recipe {recipe} names no {key} for {kind}", f"Specify it: {option}.")
        return {"engine": {"kind": kind, **given}}
    if "model" in given and "revision" in engine.model_fields:
        given["revision"] = None  # The recipe's is that of its own model.
    return {f"engine.{key}": value for key, value in given.items()}


def _engine_taking(given: dict[str, Any], current: str) -> str:
    """The kind of engine that takes these keys: the recipe's own, else the one that takes the fewest others."""
    from unicorn_hf.core.choices import ENGINES

    taking = {name: engine for name, engine in ENGINES.loadable().items() if engine.options.keys() >= given.keys()}
    return current if current in taking else min(taking, key=lambda name: len(taking[name].options))


def _seed_overrides(options: dict[str, Any]) -> dict[str, object]:
    files, column = options.get("seed_files"), options.get("seed_column")
    if not files:
        if column:
            raise InputError("--seed-column goes with --seeds")
        return {}
    paths = [str(path.expanduser().absolute()) for path in files]
    return {"seeds.sources": [{"kind": "file", "path": path, "column": column} for path in paths]}


@contextmanager
def _progress() -> Iterator["Progress"]:
    from unicorn_hf.runtime.progress import LiveProgress, PlainProgress

    if sys.stderr.isatty():
        with LiveProgress() as progress:
            yield progress
    else:
        yield PlainProgress()


def _show_plan(planned: "Plan", need: "Need") -> None:
    from unicorn_hf.core.languages import english_name

    recipe = planned.recipe
    lines = {
        "recipe": recipe.name,
        **({"from": f"{recipe.parent.dataset} (text {recipe.parent.text})"} if recipe.parent else {}),
        "seeds": ", ".join(source.name or source.place for source in recipe.seeds.used),
        "captions": f"{recipe.captions.num:,}",
        "instructions": f"{recipe.instructions.num:,}",
        "language": ", ".join(map(english_name, recipe.language)),
        "engine": f"{recipe.engine.kind} {recipe.engine.model_name}".strip(),
        "encoder": recipe.representations.encoder,
        "transfer": recipe.representations.transfer,
        "workers": planned.place.words,
        "disk": f"about {planned.num_disk_bytes / 2**20:,.0f} MiB",
        "requests": need.words,
        "work folder": str(planned.work_dir),
        "answers": f"{planned.answers} ({need.num_answers:,} are stored)",
        "data set": str(planned.out),
    }
    for name, value in lines.items():
        _echo(f"{name:>13}  {value}")
    if planned.place.warning:
        _echo(f"{'warning':>13}  {planned.place.warning}")


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
    from unicorn_hf.seeds.files import SUFFIXES
    from unicorn_hf.seeds.sources.dataset import DatasetSource
    from unicorn_hf.seeds.sources.file import FileSource

    if Path(path).suffix.lower() in SUFFIXES:
        return FileSource(path=path, column=column, name=name)
    if not column:
        raise InputError(f"--column is needed: which column of {path} holds its texts?")
    return DatasetSource(kind="dataset", path=path, config=config, split=split, column=column, name=name)


def _show_gap(facts: "GapFacts") -> None:
    from unicorn_hf.views.facts import gap_of

    _echo(f"{'':50}{'before':>9}{'after':>9}")
    for name, before, after in gap_of(facts):
        _echo(f"{name:50}{before:>9.4f}{after:>9.4f}")
    _echo(f"{'cosine of the gap before and after':50}{facts.direction_kept:>18.4f}")
    _echo(f"{f'of {facts.num_neighbours} nearest texts, kept by the transfer':50}{facts.neighbours_kept:>18.4f}")


def _uses_demo_models(recipe: "Recipe") -> bool:
    from unicorn_hf.core.encoder import parse_encoder

    return recipe.engine.is_demo or parse_encoder(recipe.representations.encoder).is_demo


def _show_push(result: "PushResult") -> None:
    sent = f"{result.num_files_sent} files sent" if result.changed else "nothing had changed"
    done = f"Proposed: {result.pull_request}" if result.pull_request else f"Published: {result.url}"
    _echo(f"\n{done} ({sent})\n  from datasets import load_dataset\n  {result.load_line}")
    if result.left_out:
        _echo(f"Not part of a data set, and left out: {', '.join(result.left_out)}")


def _show_push_plan(planned: "PushPlan") -> None:
    if planned.creates_repository:
        _echo(f"create  the data set {planned.repo_id}")
    if planned.creates_branch:
        _echo("create  the branch, from main")
    for file in planned.to_send:
        _echo(f"send    {file.path} ({file.size:,} bytes)")
    for what, paths in (("delete", planned.to_delete), ("keep", planned.to_keep), ("leave out", planned.left_out)):
        for path in paths:
            _echo(f"{what:<7} {path}")
    num_bytes = sum(file.size for file in planned.to_send)
    _echo(
        f"{len(planned.to_send)} files to send ({num_bytes / 2**20:,.1f} MiB), {len(planned.to_delete)} to delete,"
        f" {len(planned.to_keep)} to keep. Nothing was done: --dry-run."
    )


@contextmanager
def _errors() -> Iterator[None]:
    """Turn errors that a user can do something about into a message and an exit code; let bugs keep their traceback."""
    try:
        yield
    except UnicornError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:
        from unicorn_hf.core.http import proxy_failure

        if (problem := proxy_failure(error)) is None:
            raise
        _fail(str(problem), problem.exit_code)
    except KeyboardInterrupt:
        _fail("Stopped. What is done is kept: the same command goes on from here.", _INTERRUPTED)


def _fail(message: str, exit_code: int) -> NoReturn:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    # A message may show what a file of others holds: nothing of it reaches the terminal as an order.
    _echo(message, err=True)
    raise SystemExit(exit_code)
