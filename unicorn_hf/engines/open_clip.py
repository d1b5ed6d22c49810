"""Any text tower of open_clip as a text encoder."""

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.encoder_spec import OpenClipSpec
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.engines.quiet import quiet

log = logging.getLogger(__name__)

_LOCAL = "local-dir:"
_HUB = "hf-hub:"
_CONFIG = "open_clip_config.json"


def check(spec: OpenClipSpec) -> None:
    """Check that open_clip knows the encoder, without its weights: cheap enough for before a build starts.

    A model on the Hub is only known once it is loaded.

    Raises:
        InputError: open_clip is not installed, or knows no such model, tag, file or folder.
    """
    open_clip = _open_clip()
    if spec.model.startswith(_HUB):
        return
    if spec.model.startswith(_LOCAL):
        _check_folder(Path(spec.model.removeprefix(_LOCAL)))
        return
    models = open_clip.list_models()
    if spec.model not in models:
        raise InputError(f"open_clip has no model {spec.model!r}", _nearest(spec.model, models, "Models near it"))
    tags = open_clip.list_pretrained_tags_by_model(spec.model)
    if spec.pretrained and (spec.pretrained in tags or Path(spec.pretrained).is_file()):
        return
    if spec.pretrained and ("/" in spec.pretrained or Path(spec.pretrained).suffix):
        raise InputError(f"there is no file of weights {spec.pretrained}")
    advice = f"Its tags: {', '.join(tags)}" if tags else "It has none: give a file of weights."
    raise InputError(f"open_clip's {spec.model} has no pretrained weights {spec.pretrained!r}", advice)


class OpenClipEncoder:
    """Implements `TextEncoder`: bfloat16 on a GPU, float32 without one.

    Args:
        spec: the model; see `check`.
        batch_size: captions in one pass.

    Raises:
        InputError: open_clip knows no such encoder.
        RunError: its weights cannot be had or do not fit.
    """

    def __init__(self, spec: OpenClipSpec, batch_size: int) -> None:
        check(spec)
        import torch

        self._torch = torch
        self._batch_size = batch_size
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with quiet(), _tokenizers_in_parallel():
            self._model = _load(spec, self._device)
            self._tokenizer: Any = _open_clip().get_tokenizer(spec.model)
        self.dim = int(self._encode_tokens(self._tokenizer(["a"])).shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        tokens: Any = self._tokenizer(list(texts)) if texts else None
        for start in range(0, len(texts), self._batch_size):
            rows = slice(start, start + self._batch_size)
            vectors[rows] = self._encode_tokens(tokens[rows]).numpy()
        return vectors

    def num_truncated(self, texts: Sequence[str]) -> int:
        return 0

    def close(self) -> None:
        self._model = None
        gc.collect()
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()

    def _encode_tokens(self, tokens: Any) -> Any:
        with self._torch.inference_mode():
            features = self._model.encode_text(tokens.to(self._device))
            return self._torch.nn.functional.normalize(features.float(), dim=-1).cpu()


def _load(spec: OpenClipSpec, device: Any) -> Any:
    open_clip = _open_clip()
    try:
        model = open_clip.create_model(
            spec.model,
            pretrained=spec.pretrained,
            precision="bf16" if device.type == "cuda" else "fp32",
            device=device,
            require_pretrained=True,
        )
    except Exception as error:  # noqa: BLE001 - open_clip, torch, safetensors and the Hub raise what they like here
        raise RunError(f"the encoder {spec.model} cannot be loaded: {error}", "") from None
    # Half of the weights or more, and none of a caption's business.
    model.visual = None
    return model.eval().requires_grad_(False)


@contextmanager
def _tokenizers_in_parallel() -> Iterator[None]:
    """open_clip switches the fast tokenizers' threads off when it is imported; put back what was there."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    yield
    if before is None:
        os.environ.pop("TOKENIZERS_PARALLELISM", None)


def _open_clip() -> Any:
    try:
        with quiet():
            import open_clip
    except ImportError as error:
        raise InputError(
            f"open_clip cannot be imported: {error}", "pip install 'unicorn-hf[cpu]' or 'unicorn-hf[gpu]'."
        ) from None
    return open_clip


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if not (folder / _CONFIG).is_file():
        raise InputError(f"{folder} holds no open_clip model: it has no {_CONFIG}")


def _nearest(name: str, names: list[str], title: str) -> str:
    return f"{title}: {', '.join(get_close_matches(name, names, n=5, cutoff=0.4))}"
