"""Models of a published recipe: a stranger chose them, so the command shows them before the download."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.model_source import HubModel
from unicorn_hf.core.recipe import Recipe

_ANSWER_TIMEOUT_S = 10.0
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class MissingModel:
    """A model of the Hub that is not on this machine yet."""

    model: HubModel
    num_bytes: int | None
    """Size of all its files; None if unknown."""

    def __str__(self) -> str:
        at = f" at {self.model.revision}" if self.model.revision else ""
        size = "size unknown" if self.num_bytes is None else f"{self.num_bytes / 2**30:,.1f} GiB"
        return f"{self.model.name}{at} ({size})"


def models_to_download(recipe: Recipe, given: Set[str]) -> list[MissingModel]:
    """Return the models that a build would download only because a published recipe names them.

    Args:
        recipe: the published recipe, with the user's overrides.
        given: dotted keys that the user set: their models are the user's own choice.
    """
    wanted: list[HubModel] = []
    if not recipe.takes_text and given.isdisjoint(("engine", "engine.model")):
        wanted += recipe.engine.hub_models()
    if "representations.encoder" not in given:
        wanted += parse_encoder(recipe.representations.encoder).hub_models()
    return _missing(wanted)


def encoder_models_to_download(encoder: str) -> list[MissingModel]:
    """Return the models that an encoder would download."""
    return _missing(parse_encoder(encoder).hub_models())


def _missing(wanted: list[HubModel]) -> list[MissingModel]:
    return [
        MissingModel(model, _num_bytes(model.name, model.revision))
        for model in dict.fromkeys(wanted)
        if not _is_here(model.name, model.revision)
    ]


def _is_here(name: str, revision: str | None) -> bool:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # Not in the cache, or not a repository name.
        return False
    return any(found for pattern in _WEIGHTS for found in folder.glob(pattern))


def _num_bytes(name: str, revision: str | None) -> int | None:
    from huggingface_hub import HfApi

    try:
        info: Any = HfApi(library_name="unicorn-hf").model_info(
            name, revision=revision, files_metadata=True, timeout=_ANSWER_TIMEOUT_S
        )
        return sum(file.size or 0 for file in info.siblings or ())
    except Exception:  # noqa: BLE001 - the command asks the user without the size too
        return None
