"""Load models of transformers from a folder or the Hub: never with remote code, always with complete weights."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.model_source import ModelSource
from unicorn_hf.models import INSTALL
from unicorn_hf.models.folders import local_folder
from unicorn_hf.models.quiet import quiet

log = logging.getLogger(__name__)

_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


def model_folder(source: ModelSource) -> Path:
    """The folder with the model's files; those of a model on the Hub are downloaded to the cache.

    Raises:
        InputError: there is no such folder.
    """
    if source.is_folder:
        return local_folder(source)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(source.name, revision=source.revision, allow_patterns=list(_FILES)))


@contextmanager
def loading(name: str, advice: str) -> Iterator[None]:
    """Convert any error inside the block to one about the model `name`.

    Raises:
        InputError: a package is not installed.
        RunError: the model is unavailable or does not fit.
    """
    try:
        with quiet():
            yield
    except ImportError as error:
        raise InputError(f"the encoder {name} needs a package that cannot be imported: {error}", INSTALL) from None
    except (InputError, RunError):
        raise
    except Exception as error:
        log.debug("the encoder cannot be loaded", exc_info=error)
        raise RunError(f"the encoder {name} cannot be loaded: {str(error)[:600]}", advice) from None


def lacking_weights(info: Any, *, but: tuple[str, ...] = ()) -> list[str]:
    """The names of weights that transformers initialised randomly, by its loading info; without those that begin with
    one of `but`."""
    return sorted(
        name for name in map(str, [*info["missing_keys"], *info["mismatched_keys"]]) if not name.startswith(but)
    )


def load_whole(kind: Any, folder: Path, dtype: Any, *, but: tuple[str, ...] = (), **settings: Any) -> Any:
    """Return `kind.from_pretrained(folder)`, on the CPU and without gradients.

    Weights whose names begin with one of `but` may be missing.

    Raises:
        RunError: another weight is missing or has another shape; transformers would initialise it randomly.
    """
    model, info = kind.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        local_files_only=True,
        **settings,
    )
    if lacking := lacking_weights(info, but=but):
        raise RunError(f"{folder} lacks {len(lacking)} weights of a {type(model).__name__}: {', '.join(lacking[:3])}")
    return model.eval().requires_grad_(False)
