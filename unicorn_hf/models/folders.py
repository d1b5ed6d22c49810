"""The files of models: their fingerprints, and the licence in their card."""

import hashlib
from pathlib import Path

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.model_source import DEMO, ModelSource
from unicorn_hf.models.quiet import quiet

_NUM_BLOCKS = 256
_BLOCK_BYTES = 2**16
_CARD = "README.md"
_DEMO_LICENSE = "apache-2.0"
"""Of SmolLM2, the only demonstration model."""
HUB_TIMEOUT_S = 5
"""If the Hub does not answer within this time, a file is taken from the cache."""


def folder_identity(folder: Path) -> str:
    """Fingerprint of a model folder: small files by content, large ones by samples, since hashing 140 GB is slow.

    Raises:
        InputError: it contains no model.
    """
    if not any((folder / name).is_file() for name in ("config.json", "open_clip_config.json")):
        raise InputError(f"{folder} is not a model folder: it has no config.json")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not any(path.suffix in (".safetensors", ".bin", ".pt") for path in files):
        raise InputError(f"{folder} is not a model folder: it has no weights (.safetensors)")
    return fingerprint([[path.name, _file_identity(path)] for path in files])


def hub_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a model on the Hub, or from the cache if the Hub cannot be reached; None if neither has it."""
    from huggingface_hub import hf_hub_download

    try:
        with quiet():
            return Path(hf_hub_download(model, name, revision=revision, etag_timeout=HUB_TIMEOUT_S))
    except (OSError, ValueError):  # No such model, no network, or not a Hub name.
        return None


def local_folder(source: ModelSource) -> Path:
    """The folder of a model that is not on the Hub.

    Raises:
        InputError: there is no such folder.
    """
    folder = Path(source.name).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"there is no folder {source.name}")
    return folder


def source_identity(source: ModelSource) -> str:
    """Fingerprint of a model: of its folder, or its name and revision on the Hub.

    Raises:
        InputError: there is no such folder, or it contains no model.
    """
    return folder_identity(local_folder(source)) if source.is_folder else fingerprint(source.name, source.revision)


def model_license(model: str, revision: str | None) -> str | None:
    """The licence that the card of a model states, in its folder or on the Hub.

    For a licence `other` this is its `license_name`. None if no card states a licence.
    """
    import yaml
    from huggingface_hub import metadata_load

    if model.startswith(DEMO):
        return _DEMO_LICENSE
    folder = Path(model).expanduser()
    card = folder / _CARD if folder.is_dir() else hub_file(model, _CARD, revision)
    try:
        stated = (metadata_load(card) if card else None) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return None
    names = [stated.get("license_name") if stated.get("license") == "other" else None, stated.get("license")]
    return next((name for name in names if isinstance(name, str) and name), None)


def _file_identity(path: Path) -> str:
    size = path.stat().st_size
    if size <= _NUM_BLOCKS * _BLOCK_BYTES:
        return file_sha256(path)
    # Each training step changes all weights, so samples from the whole file distinguish two checkpoints.
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(_NUM_BLOCKS):
            file.seek(block * (size - _BLOCK_BYTES) // (_NUM_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()
