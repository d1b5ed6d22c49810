"""Options that choose a recipe and override it, and the recipe that they give."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.visible import visible_lines
from unicorn_hf.params import CLUSTER, ENCODER, FILE, FOLDER, FROM_0, FROM_1, RECIPE, ChoiceOf, WritingEngine
from unicorn_hf.terminal import echo

if TYPE_CHECKING:
    from unicorn_hf.core.recipe import Recipe
    from unicorn_hf.pipeline.planning import Plan

_ENGINE_OPTIONS = {"model": "--llm", "base_url": "--base-url"}
"""Engine key: the option that sets it."""
_DEMO_NOTE = (
    "note: no RECIPE is given, so the recipe is demo: its prompts and filters are for tiny models. For a larger model,"
    " name unicorn-1.2m, or a recipe of your own."
)
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
image_statistics_option = click.option(
    "--image-statistics", type=FILE, help="Image statistics for the transfer: a file that `calibrate` wrote."
)
workers_option = click.option("--workers", type=FROM_1, help="Number of worker processes.")
RECIPE_OPTIONS = (
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
    click.option("--captions", type=FROM_1, help="Number of captions to keep."),
    click.option("--instructions", type=FROM_0, help="Number of conversations to keep; 0 for captions only."),
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
    image_statistics_option,
    click.option(
        "--cluster",
        type=CLUSTER,
        metavar="WHERE",
        help="Where the workers run: auto (one per GPU, if there is one), local, cuda, or a Dask scheduler's address"
        " (tls://HOST:8786) or file.",
    ),
    workers_option,
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
yes_option = click.option(
    "--yes", is_flag=True, help="Download the models that a published set's recipe names without asking."
)
SET_OPTIONS = (
    click.option(
        "--from",
        "parent",
        type=FOLDER,
        metavar="ORG/NAME|DIR",
        help="Regenerate this published set instead of RECIPE; other options override its recipe.",
    ),
    click.option("--revision", help="A branch, tag or commit of --from ORG/NAME."),
    yes_option,
)
"""Options of commands that take a recipe or a published set."""
PLACES = (
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

Command = Callable[..., None]


def with_options(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Add options that several commands share."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


@dataclass(frozen=True)
class Chosen:
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
        """Ask before downloading models that someone else chose; raises as `ask_to_download`."""
        from unicorn_hf.hub.consent import models_to_download

        if self.published and not self.yes:
            ask_to_download(self.published, models_to_download(self.recipe, self.keys))


def of_recipe(*groups: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Add the options that choose a recipe; the command gets its `Chosen` and those that it has parameters for."""

    def decorated(command: Command) -> Command:
        @click.argument("recipe", type=RECIPE, default="demo")
        @with_options([option for group in groups for option in group])
        @wraps(command)
        def run(
            recipe: str, parent: str | None, revision: str | None, out: str, work_dir: str | None,
            answers: str | None = None, yes: bool = False, **options: Any,
        ) -> None:  # fmt: skip
            own = {name: options.pop(name) for name in signature(command).parameters if name in options}
            assert options.keys() <= _OVERRIDES, "a command without a parameter for its own option"
            found = _child(parent, revision, options) if parent else _named(recipe, revision, options)
            command(Chosen(*found, yes, out, (work_dir, answers)), **own)

        return run

    return decorated


_Found = tuple["Recipe", frozenset[str], str]
"""A recipe, keys that the options set, and the published set that it comes from."""


def _named(recipe: str, revision: str | None, options: dict[str, Any]) -> _Found:
    from unicorn_hf.core.foreign import is_of_a_set
    from unicorn_hf.core.recipe_file import load_recipe, read_document

    if revision:
        raise InputError("--revision requires --from ORG/NAME")
    if options.get("llm") and _is_default("recipe"):
        echo(_DEMO_NOTE, err=True)
    document = read_document(recipe)
    overrides = _overrides(recipe, document.engine_kind, options)
    published = recipe if is_of_a_set(Path(recipe)) else ""
    return load_recipe(document, overrides, tell=partial(echo, err=True)), frozenset(overrides), published


def _child(parent: str, revision: str | None, options: dict[str, Any]) -> _Found:
    from unicorn_hf.hub.regenerate import child_recipe, read_published

    if not _is_default("recipe"):
        raise InputError("--from already provides a recipe", "Omit RECIPE.")
    published = read_published(parent, revision)
    if published.taken.told:
        echo(published.taken.told, err=True)
    overrides = _overrides(parent, published.recipe.engine.kind, options)
    return child_recipe(published, overrides), frozenset(overrides), parent


def _is_default(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.DEFAULT


def ask_to_download(source: str, models: Sequence[str]) -> None:
    """Ask at the terminal whether to download these models, which the recipe of `source` names.

    Raises:
        InputError: there is no terminal to ask at, or the answer is no.
    """
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


def _overrides(recipe: str, kind: str, options: dict[str, Any]) -> dict[str, object]:
    """Dotted recipe keys for the options given; `kind` is the kind of the recipe's engine."""
    names_engine = any(options.get(name) not in (None, ()) for name in ("engine", "llm", "base_url"))
    engine = _engine_overrides(recipe, kind, options) if names_engine else {}
    given = given_keys(options) | engine | _seed_overrides(options)
    return given | dict(map(_setting, options.get("settings", ())))


def _setting(text: str) -> tuple[str, object]:
    """A key and its value, parsed as YAML."""
    from unicorn_hf.core.yaml_text import read_yaml

    key, equals, value = text.partition("=")
    if key and equals:
        with suppress(InputError):
            return key.strip(), read_yaml(value, key)[0]
    raise InputError(f"--set {text}: expected KEY=VALUE", "For example: --set captions.sampling.temperature=0.9")


def given_keys(options: dict[str, Any]) -> dict[str, object]:
    """Recipe keys for the options given that set one key each; files become absolute paths."""
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
            raise InputError(
                "--seed-column requires --seeds",
                "For a file of a recipe, set `column: NAME` in its entry of seeds.sources.",
            )
        return {}
    paths = [str(path.expanduser().absolute()) for path in files]
    return {"seeds.sources": [{"kind": "file", "path": path, "column": column} for path in paths]}
