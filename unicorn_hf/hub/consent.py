"""Models that a published recipe names: a stranger chose them, so they are shown before they are downloaded."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicorn_hf.core.encoder_spec import ClipSpec, Llm2ClipSpec, OpenClipSpec, parse_encoder_spec
from unicorn_hf.core.recipe import Recipe, VllmEngine

_ANSWER_TIMEOUT_S = 10.0
_DEMO, _HUB = "demo:", "hf-hub:"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub that is not on this machine yet."""

    name: str
    revision: str | None
    num_bytes: int | None
    """Of all its files; None where the Hub does not say."""

    def __str__(self) -> str:
        at = f" at {self.revision}" if self.revision else ""
        size = "size unknown" if self.num_bytes is None else f"{self.num_bytes / 2**30:,.1f} GiB"
        return f"{self.name}{at} ({size})"


def models_to_download(recipe: Recipe, given: Set[str]) -> list[HubModel]:
    """The models that a build of a published recipe would download on the recipe's word alone.

    Args:
        recipe: the published recipe, with what the user set.
        given: dotted keys that the user set: models named by these are the user's own choice.
    """
    wanted: list[tuple[str, str | None]] = []
    engine = recipe.engine
    if isinstance(engine, VllmEngine) and not recipe.takes_text and given.isdisjoint(("engine", "engine.model")):
        wanted += [] if engine.model.startswith(_DEMO) else [(engine.model, engine.revision)]
    if "representations.encoder" not in given:
        wanted += encoder_repositories(recipe.representations.encoder)
    return _missing(wanted)


def encoder_models_to_download(encoder: str) -> list[HubModel]:
    """The same of an encoder alone."""
    return _missing(encoder_repositories(encoder))


def encoder_repositories(encoder: str) -> list[tuple[str, str | None]]:
    """Names and revisions of the Hub's models that an encoder is loaded from."""
    match parse_encoder_spec(encoder):
        case ClipSpec(model=source):
            return [(source.name, source.revision)]
        case Llm2ClipSpec(clip=clip, llm=llm):
            return [(clip.name, clip.revision), (llm.name, llm.revision)]
        case OpenClipSpec(model=model, pretrained=None) if model.startswith(_HUB):
            return [(model.removeprefix(_HUB), None)]
        case OpenClipSpec(model=model, pretrained=str(tag)):
            return [(_repository_of_tag(model, tag), None)]
    return []


def _repository_of_tag(model: str, tag: str) -> str:
    """Where open_clip has a model's weights from; its own name for them where it does not say, or is not here."""
    try:
        from open_clip.pretrained import get_pretrained_cfg
    except ImportError:
        return f"{model}/{tag}"
    return str(get_pretrained_cfg(model, tag).get("hf_hub") or f"{model}/{tag}").rstrip("/")


def _missing(wanted: list[tuple[str, str | None]]) -> list[HubModel]:
    return [
        HubModel(name, revision, _num_bytes(name, revision))
        for name, revision in dict.fromkeys(wanted)
        if not _is_here(name, revision)
    ]


def _is_here(name: str, revision: str | None) -> bool:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # Not in the cache, or no name of a repository.
        return False
    return any(found for pattern in _WEIGHTS for found in folder.glob(pattern))


def _num_bytes(name: str, revision: str | None) -> int | None:
    from huggingface_hub import HfApi

    try:
        info: Any = HfApi(library_name="unicorn-hf").model_info(
            name, revision=revision, files_metadata=True, timeout=_ANSWER_TIMEOUT_S
        )
        return sum(file.size or 0 for file in info.siblings or ())
    except Exception:  # noqa: BLE001 - whatever the Hub or the network does, the question is asked all the same
        return None
