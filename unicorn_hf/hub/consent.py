"""Models of a published recipe: a stranger chose them, so the command shows them before the download."""

from collections.abc import Set
from pathlib import Path
from typing import Any

from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.model_source import ModelSource
from unicorn_hf.core.recipe import Recipe

_ANSWER_TIMEOUT_S = 10.0
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


def models_to_download(recipe: Recipe, given: Set[str]) -> list[str]:
    """Return the models that a build would download only because a published recipe names them, with their sizes.

    Args:
        recipe: the published recipe, with the user's overrides.
        given: dotted keys that the user set: their models are the user's own choice.
    """
    wanted: list[ModelSource] = []
    if not recipe.takes_text and given.isdisjoint(("engine", "engine.model")):
        wanted += recipe.engine.hub_models()
    if "representations.encoder" not in given:
        wanted += parse_encoder(recipe.representations.encoder).hub_models()
    return _missing(wanted)


def encoder_models_to_download(encoder: str) -> list[str]:
    """Return the models that an encoder would download, with their sizes."""
    return _missing(parse_encoder(encoder).hub_models())


def _missing(wanted: list[ModelSource]) -> list[str]:
    missing = [model for model in dict.fromkeys(wanted) if not _is_here(model)]
    return [f"{model.name}{f' at {model.revision}' if model.revision else ''} ({_size(model)})" for model in missing]


def _is_here(model: ModelSource) -> bool:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model.name, revision=model.revision, local_files_only=True))
    except (OSError, ValueError):  # Not in the cache, or not a repository name.
        return False
    return any(found for pattern in _WEIGHTS for found in folder.glob(pattern))


def _size(model: ModelSource) -> str:
    from huggingface_hub import HfApi

    try:
        info: Any = HfApi(library_name="unicorn-hf").model_info(
            model.name, revision=model.revision, files_metadata=True, timeout=_ANSWER_TIMEOUT_S
        )
        return f"{sum(file.size or 0 for file in info.siblings or ()) / 2**30:,.1f} GiB"
    except Exception:  # noqa: BLE001 - the command asks the user without the size too
        return "size unknown"
