"""Model folders and their fingerprints."""

import hashlib
from pathlib import Path

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.model_source import ModelSource

_NUM_BLOCKS = 256
_BLOCK_BYTES = 2**16


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
