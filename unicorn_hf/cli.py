"""The command `unicorn-hf`: runs the commands, and turns errors into messages."""

import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from unicorn_hf.core.errors import InputError, UnicornError, WaitingError
from unicorn_hf.core.units import counted, size
from unicorn_hf.params import DIR, ENCODER, FILE, FOLDER, FROM_0, FROM_1, ChoiceOf, DescribedOption
from unicorn_hf.recipe_options import (
    PLACES,
    RECIPE_OPTIONS,
    SET_OPTIONS,
    Chosen,
    Command,
    ask_to_download,
    given_keys,
    image_statistics_option,
    of_recipe,
    with_options,
    workers_option,
    yes_option,
)
from unicorn_hf.terminal import columns, echo, open_progress, print_json, show_or_json, wrapped

if TYPE_CHECKING:
    from unicorn_hf.cards.scores import Score
    from unicorn_hf.core.sources import SeedSource
    from unicorn_hf.hub.push import PushPlan, PushResult
    from unicorn_hf.needed import Need
    from unicorn_hf.pipeline.planning import Plan
    from unicorn_hf.pipeline.run import BuildResult
    from unicorn_hf.representations.figures import GapFacts
    from unicorn_hf.views.compare import Comparison

_DEMO_MODELS = """
Small demonstration models made this set: it shows the steps, not the quality. Do not train on it.
A real run needs a GPU, an instruction model with at least 7 B parameters, and a CLIP text tower:
  unicorn-hf build unicorn-1.2m --seeds captions.txt --captions 100000 --instructions 40000 \\
    --llm Qwen/Qwen2.5-7B-Instruct --set engine.tensor_parallel_size=1 \\
    --encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k --set title="My data set"
Or write a recipe: see "Build a real one" in docs/quickstart.md."""
_COMPARED_S = 300.0
"""For reading the published sets, of which any can be slow to read."""
_EXAMPLE_WIDTH = 171
"""Of the lines of example rows in a file or a pipe."""
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
_revision = click.option("--revision", help="A branch, tag or commit of ORG/NAME.")
_config = click.option("--config", help="The config of a data set.")
_split = click.option("--split", default="test", show_default=True, help="The split of a data set.")
_encoder = click.option(
    "--encoder", type=ENCODER, metavar="ENCODER", help="The set's encoder, if it is not where the recipe says."
)

_PUSH_OPTIONS = (
    click.option("--push", "repo_id", metavar="ORG/NAME", help="Push the finished set to this Hub repository."),
    click.option("--private", is_flag=True, help="Make the repository private if the push creates it."),
    click.option("--overwrite", is_flag=True, help="Let the push replace files that unicorn-hf did not make."),
)
"""Options of commands that build a set and can push it."""


class _Commands(click.Group):
    """Turns errors that a user can fix into a message and an exit code; bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except WaitingError as waiting:
            echo(str(waiting), err=True)
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
@of_recipe(SET_OPTIONS, PLACES, RECIPE_OPTIONS, _PUSH_OPTIONS)
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
    chosen: Chosen, repo_id: str | None, private: bool, overwrite: bool, max_cost: float | None,
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


def _build(planned: "Plan", out: str, **options: Any) -> None:
    from unicorn_hf.core.encoder import parse_encoder
    from unicorn_hf.pipeline.run import execute

    with open_progress() as progress, _stopped_by_sigterm():
        result = execute(planned, progress=progress, **options)
    _show_result(result, Path(out))
    recipe = planned.recipe
    if recipe.engine.is_demo or parse_encoder(recipe.representations.encoder).is_demo:
        echo(_DEMO_MODELS)
    if result.pushed:
        _show_push(result.pushed)
    else:
        told = shlex.quote(str(out))
        echo(f"\nLook at it:  unicorn-hf report {told}\nPublish it:  unicorn-hf push {told} ORG/NAME")


@main.command()
@of_recipe(SET_OPTIONS, PLACES, RECIPE_OPTIONS)
@click.option(
    "--sample", type=FROM_0,
    help="Captions to generate with the recipe's own engine, to measure lengths and rejections; 0 sends no requests."
    "  [default: 64; 0 with --gpu]",
)  # fmt: skip
@click.option(
    "--gpu", "gpus", multiple=True, metavar="NAME",
    help="Also calculate hours and price on rented GPUs: a flavor of Hugging Face Jobs (a100-large, l4x1) at the Hub's"
    " price, or a GPU (H100, A10G) at the recipe's price.per_worker_hour; repeatable, to compare.",
)  # fmt: skip
@_json
def plan(chosen: Chosen, sample: int | None, workers: int | None, gpus: tuple[str, ...], as_json: bool) -> None:
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
        with open_progress() as progress:
            found = estimate(planned, sample=sample, workers=workers, progress=progress)
    told = ["", *(lines(found) if found else ["No requests were sent, and nothing was written."])]
    commands: list[str] = []
    document: dict[str, object] = {"needed": need, **dict(found or ())}
    if rental:
        document["rented"] = on_gpus = rental.quotes(work.work_of(planned.recipe, found))
        told += ["", *quotes.lines(on_gpus)]
        commands = quotes.to_rent(on_gpus, _given_for_build())
    # A command stays on one line, so that users can copy it.
    print_json(document) if as_json else echo("\n".join([*map(wrapped, told), *commands]))


@main.command()
@click.argument("folder", metavar="DIR", type=DIR)
@click.argument("repo_id", metavar="ORG/NAME")
@with_options(_PUSH_OPTIONS[1:])
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
        print_json(planned) if as_json else _show_push_plan(planned)
        return
    with open_progress() as progress:
        result = push_dataset(folder, repo_id, PushOptions(**options), progress=progress)
    print_json(result) if as_json else _show_push(result)


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
    with open_progress() as progress:
        report = validate_folder(folder, name=source, progress=progress)
    print_json(report) if as_json else echo("\n".join(report.lines()))
    raise SystemExit(0 if report.valid else 1)


@main.command()
@click.argument("folder", metavar="DIR", type=DIR)
def card(folder: Path) -> None:
    """Regenerate the card of the built folder DIR.

    Writes README.md and its charts from recipe, statistics and first rows. This overwrites manual changes.

    \b
    Example:
      unicorn-hf card unicorn
    """
    from unicorn_hf.pipeline.publish import write_card

    echo(f"Written: {write_card(folder)}")


def _pictures(num: int) -> tuple[Callable[[Command], Command], ...]:
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
@with_options(_pictures(10_000))
@click.option("--encoder", type=ENCODER, metavar="ENCODER", required=True, help="The encoder, as for build.")
@click.option(
    "--out", type=FILE, default=Path("image_statistics.safetensors"),
    show_default=True, help="The file to write.",
)  # fmt: skip
@click.option(
    "--keep-vectors", type=FROM_0, metavar="N", default=0, show_default=True,
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

    with open_progress() as progress:
        statistics = run(PictureSource(**pictures), encoder, out, progress, keep_vectors)
    moments, kept = statistics.moments, len(statistics.vectors.vectors) if statistics.vectors else 0
    if as_json:
        facts = {"num_images": moments.count, "trace": moments.trace, "dim": len(moments.mean), "num_vectors": kept}
        print_json(facts | {"out": out})
        return
    told = f", {kept:,} vectors kept" if kept else ""
    echo(f"{moments.count:,} images, mean squared distance from their mean {moments.trace:.4f}{told}: {out}")


@main.command()
@click.argument("folder", metavar="DIR", type=DIR)
@with_options(_pictures(2000))
@_encoder
@click.option("--num-texts", type=click.IntRange(min=10), default=2000, show_default=True, help="Rows to compare.")
@click.option("--plot/--no-plot", default=True, help="Draw the plot.")
@yes_option
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
        ask_to_download(str(folder), encoder_models_to_download(set_encoder(folder)))
    with open_progress() as progress:
        source = PictureSource(**pictures)
        facts = measure_gap(folder, source, encoder=encoder, num_texts=num_texts, plot=plot, progress=progress)
    print_json(facts) if as_json else _show_gap(facts)


@main.command()
@click.argument("sources", type=FOLDER, metavar="SET|MODEL...", nargs=-1, required=True)
@click.option(
    "--on", "path", required=True, metavar="DATASET|FOLDER", help="Real images with labels, or with questions."
)
@_config
@_split
@click.option(
    "--num-pictures", "limit", type=FROM_1, default=10_000, show_default=True, help="Maximum number of images."
)
@_encoder
@click.option(
    "--image-statistics", type=FILE, metavar="FILE", help="A file of `calibrate`, for a model whose set has none."
)
@yes_option
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
    with open_progress() as progress:
        asked, found = Asked(PictureSource(**on), progress), [opened(source, encoder) for source in sources]
        if not encoder and not yes:
            for source, one in zip(sources, found, strict=True):
                ask_to_download(source, encoder_models_to_download(one.encoder))
        scores = [evaluate_source(one, asked, image_statistics=image_statistics) for one in found]
    print_json(dict(zip(sources, scores, strict=True))) if as_json else _show_scores(sources, scores)


@main.command()
@click.argument("folder", metavar="DIR", type=DIR)
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

    with open_progress() as progress:
        source = _evaluation_source(evaluation, column, config, split, name)
        facts, examples = measure_overlap(folder, source, progress=progress)
    if as_json:
        print_json(facts.model_dump() | {"examples": examples})
        return
    texts = f"one of the {facts.num_texts:,} texts" if facts.num_texts > 1 else "the text"
    echo(
        f"{counted(facts.num_pretrain, 'row')} of pretrain and {facts.num_instruction:,} of instruction have"
        f" {facts.run_words} consecutive words in common with {texts} of {facts.name}"
    )
    if examples:
        echo(f"First ids: {', '.join(examples)}")


@main.command()
@click.argument("folder", metavar="DIR", type=DIR)
@click.option("--format", "form", required=True, type=ChoiceOf("EXPORTS"), cls=DescribedOption)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to write; it must not exist.")
def export(folder: Path, form: str, out: Path) -> None:
    """Write the built folder DIR in a format that a trainer reads.

    \b
    Example:
      unicorn-hf export unicorn --format bunny --out unicorn-bunny
    """  # fmt: skip
    from unicorn_hf.interchange.export import export as run

    with open_progress() as progress:
        run(folder, form, out, progress=progress)
    echo(f"Written in the format {form}: {out}/")


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
@click.option("--captions", type=FROM_1, help="Import only this many captions, in order.  [default: all]")
@click.option("--instructions", type=FROM_0, help="Import only this many conversations, in order.  [default: all]")
@click.option(
    "--encoder", type=ENCODER, metavar="ENCODER",
    help="Text encoder, as for build.  [default: use the vectors in the files]",
)  # fmt: skip
@click.option(
    "--transfer", type=ChoiceOf("TRANSFERS"),
    help="Moves text vectors to image space.  [default: mean_shift with --encoder, else none]",
)  # fmt: skip
@image_statistics_option
@workers_option
@with_options(_PUSH_OPTIONS)
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
    recipe = import_recipe(files, **{name: options.pop(name) for name in told}, overrides=given_keys(options))
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
@click.option("--picture", type=FILE, help="Also write a chart to this PNG file.")
def compare(
    sources: tuple[str, ...], against: str | None, as_json: bool, as_markdown: bool, picture: Path | None
) -> None:
    """Compare data sets.

    Compares counts, lengths, variety, duplicates, rejections, cost, modality gap, tasks, domains, and the captions that
    the sets share. Figures come from each set's statistics, or from its rows if it has none. Sets that do
    not fit beside each other get a row each, with their main figures.

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
        with open_progress() as progress:
            comparison = run([set_folder(source) for source in sources], sources, progress)
    if picture:
        from unicorn_hf.views.compare_picture import draw

        draw(comparison, picture)
    if as_markdown:
        echo(markdown(comparison), nl=False)
    else:
        show_or_json(comparison, as_json, show)


def _compared_with_published(sources: Sequence[str]) -> "Comparison":
    from rich.console import Console

    from unicorn_hf.hub.published import published_sets
    from unicorn_hf.views.compare import compare_published, set_folder

    if len(sources) > 1:
        raise InputError("--against published takes one set", "Name one folder, or ORG/NAME.")
    with Console(stderr=True).status("Reading the statistics of the published sets"):
        found = published_sets(limit_s=_COMPARED_S)
        comparison = compare_published(set_folder(sources[0]), sources[0], found.sets)
    read = counted(len(found.sets), "published set")
    others = {
        "not readable": len(found.unreadable),
        "without a sketch to compare": found.num_without_sketch,
        "left for lack of time": found.num_left,
    }
    told = [f"{read} read", *(f"{num:,} {what}" for what, num in others.items() if num)]
    echo(f"{', '.join(told)}; {len(comparison.sets) - 1} with captions in common", err=True)
    return comparison


@main.command()
@click.argument("source", type=FOLDER, metavar="DIR|ORG/NAME")
@_revision
@click.option("--sample", "number", type=FROM_0, default=3, show_default=True, help="Rows per config.")
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

    found = look(local_folder(source, revision), name=source, number=number, having=having)
    show_or_json(found, as_json, partial(show, sought=bool(having and number)))


@main.command()
@click.argument("source", type=FOLDER, metavar="DIR|ORG/NAME")
@_revision
@click.option(
    "--out", type=FILE, metavar="FILE.html",
    help="The file to write.  [default: NAME-report.html in the current folder]",
)  # fmt: skip
@click.option("--sample", "number", type=FROM_1, default=1000, show_default=True, help="Rows per config.")
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
    echo(f"{out} ({size(out.stat().st_size)})")


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
        show_or_json(view.status(folder), as_json, view.show)


@main.command()
@of_recipe(SET_OPTIONS[:2], PLACES[:2])
@_json
def doctor(chosen: Chosen, as_json: bool) -> None:
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
    show_or_json(checkup, as_json, show)
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
@of_recipe(SET_OPTIONS[:2], PLACES, RECIPE_OPTIONS)
@click.option("--file", type=FILE, metavar="FILE.jsonl", required=True, help="The file to write.")
def export_requests(chosen: Chosen, file: Path) -> None:
    """Write the next requests without a stored answer.

    Each line is one of OpenAI's batch requests, as `vllm run-batch` reads them. The engine of RECIPE must be `batch` or
    `endpoint`; the command needs no server.

    \b
    Example:
      unicorn-hf requests export my.yaml --engine batch --llm Qwen/Qwen2.5-7B-Instruct --file requests.jsonl
    """
    from unicorn_hf.pipeline.requests import export_requests as run

    with open_progress() as progress:
        num_requests = run(chosen.plan(), file, progress)
    if num_requests:
        echo(f"{counted(num_requests, 'request')}: {file}\nStore their answers with: unicorn-hf requests collect")
    else:
        echo("All answers are stored. Nothing was written; make the set with: unicorn-hf build")


@requests.command("collect")
@of_recipe(SET_OPTIONS[:2], PLACES, RECIPE_OPTIONS)
@click.option(
    "--file", "files", type=FILE, metavar="FILE.jsonl", multiple=True, required=True,
    help="A file of answers, or of errors; repeatable.",
)  # fmt: skip
@_json
def collect_requests(chosen: Chosen, files: tuple[Path, ...], as_json: bool) -> None:
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
        print_json(found)
        return
    without = counted(found.unanswered, "request")
    echo(f"{counted(found.stored, 'new answer')}, {found.known:,} stored before, {without} without one")
    if found.foreign:
        echo(f"Lines that belong to no request of unicorn-hf: {found.foreign:,}")


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
    echo(f"{size(num_bytes)} of work files deleted")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Stop as for an interrupt where a scheduler of jobs ends the process: the work folder is released."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_plan(planned: "Plan", need: "Need") -> None:
    from unicorn_hf.builders.repository import is_build
    from unicorn_hf.core.choices import TRANSFERS
    from unicorn_hf.core.languages import english_name

    recipe, vectors = planned.recipe, planned.recipe.representations
    transfer = TRANSFERS.get(vectors.transfer)
    has_images = bool(vectors.image_statistics) or not transfer.needs_images
    lines = {
        "recipe": recipe.name,
        **({"from": f"{recipe.parent.dataset} (text {recipe.parent.text})"} if recipe.parent else {}),
        "seeds": "; ".join(source.name or source.place for source in recipe.seeds.used),
        "captions": f"{recipe.captions.num:,}",
        "instructions": f"{recipe.instructions.num:,}",
        "language": ", ".join(map(english_name, recipe.language)),
        "engine": f"{recipe.engine.kind} {recipe.engine.model_name}".strip(),
        "encoder": vectors.encoder,
        "transfer": vectors.transfer
        if has_images
        else f"{transfer.fallback}: {vectors.transfer} needs image statistics",
        "workers": planned.place.words,
        "disk": f"about {size(planned.num_disk_bytes)}, work files included",
        "requests": need.words,
        "work folder": str(planned.work_dir),
        "answers": f"{planned.answers} ({need.num_answers:,} stored)",
        "data set": f"{planned.out}{', which replaces the set that is there' if is_build(planned.out) else ''}",
        **({"warning": planned.place.warning} if planned.place.warning else {}),
    }
    if recipe.takes_text:
        lines["engine"] = "none: the text exists"
        del lines["requests"], lines["answers"]
    for name, value in lines.items():
        echo(wrapped(f"{name:>13}  {value}"))


def _show_result(result: "BuildResult", out: Path) -> None:
    statistics, most = result.statistics, max(columns(elsewhere=_EXAMPLE_WIDTH), 40) - 11
    for name, rows in result.examples.items():
        click.secho(f"\n{name}", bold=True)
        for row in rows:
            echo(f"  {row['id']}  {row.get('task', row['domain'])}")
            for turn in row["conversations"]:  # type: ignore[attr-defined]
                text = " ".join(turn["value"].split())
                echo(f"    {turn['from']:>5}: {text if len(text) <= most else f'{text[: most - 1]}…'}")
    num_captions, num_conversations = statistics.pretrain.num_rows, statistics.instruction.num_rows
    conversations = f" and {counted(num_conversations, 'conversation')}" if num_conversations else ""
    echo(f"\n{counted(num_captions, 'caption')}{conversations}: {out}/")
    echo("\nLoad them:\n  from datasets import load_dataset")
    for name in result.examples:
        echo(f'  {name} = load_dataset("{out}", "{name}", split="train")')


def _evaluation_source(path: str, column: str | None, config: str | None, split: str, name: str | None) -> "SeedSource":
    from unicorn_hf.seeds.sources.dataset import DatasetSource
    from unicorn_hf.seeds.sources.file import SUFFIXES, EvaluationFile

    if Path(path).suffix.lower() in SUFFIXES:
        return EvaluationFile(path=path, column=column, name=name)
    if not column:
        raise InputError(f"--column is required: the column of {path} that holds the texts")
    return DatasetSource(kind="dataset", path=path, config=config, split=split, column=column, name=name)


def _show_gap(facts: "GapFacts") -> None:
    echo(f"{'':50}{'before':>9}{'after':>9}")
    for name, before, after in facts.rows():
        echo(f"{name:50}{before:>9.4f}{after:>9.4f}")
    echo(f"{'cosine of the gap before and after':50}{facts.direction_kept:>18.4f}")
    if facts.instances_kept is not None and facts.similarities_kept is not None:
        echo(f"{'cosine of a text before and after':50}{facts.instances_kept:>18.4f}")
        echo(f"{'correlation of cosines of texts before and after':50}{facts.similarities_kept:>18.4f}")
    echo(f"{f'share of {facts.num_neighbours} nearest texts kept by the transfer':50}{facts.neighbours_kept:>18.4f}")


def _show_scores(sources: Sequence[str], scores: Sequence["Score"]) -> None:
    for source, score in zip(sources, scores, strict=True):
        guesses = f", guesses {score.chance:.1f}" if score.chance is not None else ""
        echo(f"{source}: {score.shown} right; blind {score.blind:.1f}{guesses}, most common {score.most_common:.1f}")
        for name, value in {**score.per_kind, **score.measures}.items():
            echo(f"    {name}: {value:.1f}")
    first = scores[0]
    echo(f"{first.num_questions:,} questions about {first.num_pictures:,} images of {first.on} ({first.on_id[:6]})")
    if len({score.setting for score in scores}) > 1:
        echo("The scores are of different settings (encoder, or what was trained), and are not comparable.")


def _show_push(result: "PushResult") -> None:
    sent = f"{counted(result.num_files_sent, 'file')} sent" if result.changed else "no changes"
    done = f"Proposed: {result.pull_request}" if result.pull_request else f"Published: {result.url}"
    echo(f"\n{done} ({sent})\n  from datasets import load_dataset\n  {result.load_line}")
    if result.left_out:
        echo(f"Skipped, because not part of the data set: {', '.join(result.left_out)}")
    if result.pull_request is None:
        owner = result.repo_id.partition("/")[0]
        echo(
            f"Add it to a collection:  hf collections add-item {owner}/COLLECTION {result.repo_id} dataset\n"
            f'Get a DOI:  "Generate DOI" in {result.page}/settings\n'
            f"In the model cards of those who train on it:  datasets: [{result.repo_id}]\n"
            f"Cite it:  {result.page}#citation"
        )


def _show_push_plan(planned: "PushPlan") -> None:
    if planned.creates_repository:
        echo(f"create  the data set {planned.repo_id}")
    if planned.creates_branch:
        echo("create  the branch from main")
    for file in planned.to_send:
        echo(f"send    {file.path} ({size(file.size)})")
    for action, paths in (("delete", planned.to_delete), ("keep", planned.to_keep), ("skip", planned.left_out)):
        for path in paths:
            echo(f"{action:<7} {path}")
    for copy in planned.near_copies:
        echo(wrapped(f"warning: this is {copy.words}"))
    num_bytes = sum(file.size for file in planned.to_send)
    echo(
        f"{counted(len(planned.to_send), 'file')} to send ({size(num_bytes)}), {len(planned.to_delete)} to delete,"
        f" {len(planned.to_keep)} to keep. Nothing was changed (--dry-run)."
    )


def _fail(message: str, exit_code: int) -> NoReturn:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    echo(message, err=True)
    raise SystemExit(exit_code)
