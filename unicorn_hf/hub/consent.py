"""Models that are not on this machine: those of a stranger's recipe are shown before the download, and those that
cannot be downloaded are named before the work that needs them.
"""

from collections.abc import Set
from pathlib import Path
from typing import Any

from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.errors import RunError, UnicornError
from unicorn_hf.core.model_source import ModelSource
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.hub.access import offline_problem
from unicorn_hf.hub.client import hub_api, hub_requests

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


def encoder_problem(name: str) -> UnicornError | None:
    """Why the models of an encoder can neither be found on this machine nor downloaded; None if there is no reason.

    It sends a request for each model that is not here, waits at most 10 seconds for each, and downloads nothing.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    encoder = parse_encoder(name)
    absent = [] if encoder.names_file else [model for model in encoder.hub_models() if not _is_here(model)]
    if not absent or (problem := offline_problem()):
        return problem if absent else None
    try:
        with hub_requests(_ANSWER_TIMEOUT_S):
            for model in absent:
                try:
                    hub_api().model_info(model.name, revision=model.revision, timeout=_ANSWER_TIMEOUT_S)
                except (RepositoryNotFoundError, RevisionNotFoundError):
                    return RunError(
                        f"the Hub has no model {model}, or hides it from your token",
                        "Check its name (--encoder), or log in: hf auth login",
                    )
    except UnicornError as failure:
        return failure
    return None


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
