"""The published form of a recipe: without details of this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.encoder import published_encoder
from unicorn_hf.core.model_source import published_name
from unicorn_hf.core.prompts import CAPTION_PROMPTS, INSTRUCTION_PROMPTS, is_bundled, load_prompt
from unicorn_hf.core.recipe import Recipe

TRANSFER_FILE = "transfer.safetensors"


def prompt_folders() -> dict[str, Path]:
    """The recipe's prompt keys, each with the folder of its bundled prompts."""
    captions = ("captions.prompt", "captions.screen.prompt")
    tasks = (f"instructions.tasks.{name}.prompt" for name in TASKS.loadable())
    return dict.fromkeys(captions, CAPTION_PROMPTS) | dict.fromkeys(
        ("instructions.judge.prompt", *tasks), INSTRUCTION_PROMPTS
    )


def with_prompts(recipe: Recipe) -> Recipe:
    """The recipe with the text of prompts instead of their files, so that others can build from it.

    Raises:
        InputError: there is no such prompt, or it is invalid.
    """

    def text(prompt: Any, bundled: Path) -> Any:
        is_file = isinstance(prompt, str) and not is_bundled(prompt, bundled)
        return load_prompt(prompt, bundled).model_dump(mode="json") if is_file else prompt

    return _with_prompts(recipe.model_dump(mode="json"), text)


def published_recipe(recipe: Recipe) -> Recipe:
    """The recipe without its cluster, and with only the base names of files."""
    data = recipe.model_dump(mode="json", exclude={"cluster"})
    for source, values in zip(recipe.seeds.sources, data["seeds"]["sources"], strict=True):
        values |= {key: published_name(values[key]) for key in (*source.file_keys, *source.hub_keys)}
    for file in data["imported"]["files"] if recipe.imported else ():
        file["path"] = published_file(Path(file["path"]))
    if recipe.parent:
        data["parent"]["dataset"] = published_name(recipe.parent.dataset)
    data["engine"] = recipe.engine.published().model_dump(mode="json")
    if recipe.representations.image_statistics:
        # The set's own file holds the image statistics too.
        data["representations"]["image_statistics"] = TRANSFER_FILE
    data["representations"]["encoder"] = published_encoder(recipe.representations.encoder)
    return _with_prompts(data, lambda prompt, _: published_name(prompt) if isinstance(prompt, str) else prompt)


def _with_prompts(data: dict[str, Any], changed: Callable[[Any, Path], Any]) -> Recipe:
    for key, bundled in prompt_folders().items():
        *above, name = key.split(".")
        section: Any = data
        for part in above:
            section = section.get(part) if section else None
        if section:
            section[name] = changed(section[name], bundled)
    return Recipe.model_validate(data)


def published_file(path: Path) -> str:
    """A file's name, with its folder's if that says what the file holds."""
    return f"{path.parent.name}/{path.name}" if path.parent.name in ("pretrain", "instruction") else path.name
