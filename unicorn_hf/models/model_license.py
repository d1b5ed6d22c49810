"""The licence of a model, from its card."""

from pathlib import Path

from unicorn_hf.core.model_source import DEMO

_CARD = "README.md"
_TIMEOUT_S = 5
_DEMO_LICENSE = "apache-2.0"
"""Of SmolLM2, the only demonstration model."""


def model_license(model: str, revision: str | None) -> str | None:
    """The licence that the card of a model states, in its folder or on the Hub.

    For a licence `other` this is its `license_name`. None if no card states a licence.
    """
    if model.startswith(DEMO):
        return _DEMO_LICENSE
    folder = Path(model).expanduser()
    return _stated_in(folder / _CARD if folder.is_dir() else _downloaded(model, revision))


def _downloaded(model: str, revision: str | None) -> Path | None:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model, _CARD, revision=revision, etag_timeout=_TIMEOUT_S))
    except (OSError, ValueError):  # No such model, no network, or not a Hub name.
        return None


def _stated_in(card: Path | None) -> str | None:
    import yaml
    from huggingface_hub import metadata_load

    try:
        stated = (metadata_load(card) if card else None) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return None
    names = [stated.get("license_name") if stated.get("license") == "other" else None, stated.get("license")]
    return next((name for name in names if isinstance(name, str) and name), None)
