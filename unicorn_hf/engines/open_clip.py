"""Any text tower of open_clip as a text encoder."""

import gc
import logging
import os
from collections.abc import Callable, Sequence
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
_INSTALL = "pip install 'unicorn-hf[gpu]' on a machine with a GPU, 'unicorn-hf[cpu]' without one."
_MODELS_ADVICE = "All names: python -c 'import open_clip; print(open_clip.list_models())'"
_LOAD_ADVICE = (
    "Weights that are not in the cache come from the Hub, which must be in reach.\n"
    "A folder (open_clip:local-dir:FOLDER) and a file of weights need no network."
)


def check(spec: OpenClipSpec) -> None:
    """Check that open_clip knows the encoder, without loading weights: for before a build starts.

    What is on the Hub is only known once it is loaded.

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
        raise InputError(f"open_clip has no model {spec.model!r}.{_did_you_mean(spec.model, models)}", _MODELS_ADVICE)
    _check_weights(open_clip, spec.model, spec.pretrained or "")


class OpenClipEncoder:
    """Implements `TextEncoder`: bfloat16 on a GPU, float32 without one.

    Args:
        spec: the model; see `check`.
        batch_size: captions in one pass.

    Raises:
        InputError: open_clip knows no such encoder.
        RunError: its weights cannot be had or do not fit.
    """

    dim: int

    def __init__(self, spec: OpenClipSpec, batch_size: int) -> None:
        check(spec)
        import torch

        self._batch_size = batch_size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with quiet():
            try:
                self._tokens = _Tokens(_open_clip().get_tokenizer(spec.model))
                model = _load(spec)
            except Exception as error:  # noqa: BLE001 - open_clip, torch, safetensors and the Hub raise what they like
                raise _cannot_load(spec, error) from None
        # Half of the weights or more, and no caption needs them.
        model.visual = None
        model.text_decoder = None
        dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self._model = model.to(self._device, dtype).eval().requires_grad_(False)
        self._needed = _needed_columns(model.text)
        self._causal_mask = getattr(model.text, "attn_mask", None) if self._needed else None
        self.dim = int(self._encode(self._tokens.of(["a"])).shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Array of shape (len(texts), dim), float32, each row of L2 norm 1."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return vectors
        tokens = self._tokens.of(texts)
        lengths = self._needed(tokens) if self._needed else tokens.new_full((len(texts),), tokens.shape[1])
        # Captions of like length share a batch, so that little padding is computed.
        order = lengths.argsort(stable=True)
        for start in range(0, len(texts), self._batch_size):
            rows = order[start : start + self._batch_size]
            vectors[rows.numpy()] = self._encode(tokens[rows, : int(lengths[rows].max())])
        return vectors

    def num_truncated(self, texts: Sequence[str]) -> int:
        """How many of `texts` have more tokens than the tower reads."""
        return self._tokens.num_truncated(texts)

    def close(self) -> None:
        """Give back the model's memory."""
        import torch

        self._model = None
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _encode(self, tokens: Any) -> NDArray[np.float32]:
        import torch

        if self._causal_mask is not None:
            columns = tokens.shape[1]
            self._model.text.attn_mask = self._causal_mask[:columns, :columns]
        with torch.inference_mode():
            features = self._model.encode_text(tokens.to(self._device))
            unit = torch.nn.functional.normalize(features.float(), dim=-1)
            vectors: NDArray[np.float32] = unit.cpu().numpy()
            return vectors


class _Tokens:
    """open_clip's tokenizer: it pads every text to the context length, and cuts longer ones without a word."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._length = int(tokenizer.context_length)
        self._pad_id = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", 0)
        self._last: tuple[list[str], Any] = ([], None)

    def of(self, texts: Sequence[str]) -> Any:
        """Token ids, of shape (len(texts), context length); the last texts' are kept, since the tokenizer is slow."""
        texts = list(texts)
        if texts != self._last[0]:
            self._last = (texts, self._tokenizer(texts))
        return self._last[1]

    def num_truncated(self, texts: Sequence[str]) -> int:
        if not texts:
            return 0
        spans = self._spans(self.of(texts))
        # A text was cut if one more place lets it have one more token; only full rows can be.
        full = [row for row, span in enumerate(spans) if span >= self._length - 1]
        if not full:
            return 0
        with_more_room = self._spans(self._tokenizer([texts[row] for row in full], context_length=self._length + 1))
        return sum(longer > spans[row] for row, longer in zip(full, with_more_room, strict=True))

    def _spans(self, tokens: Any) -> list[int]:
        """For each row, the columns from the first to the last that hold a token, whatever side the padding is on."""
        if getattr(self._tokenizer, "tokenizer_mode", None) == "clips":
            tokens = tokens[:, :-1]  # The last column holds the class token, after the padding.
        held = tokens != self._pad_id
        columns = tokens.shape[1]
        first = held.int().argmax(dim=1)
        behind = held.flip(1).int().argmax(dim=1)
        spans: list[int] = (columns - behind - first).tolist()
        return spans


def _load(spec: OpenClipSpec) -> Any:
    open_clip = _open_clip()
    return open_clip.create_model(
        spec.model,
        pretrained=spec.pretrained,
        # All towers but CoCa's become a CustomTextCLIP, whose text tower stands by itself.
        force_custom_text=True,
        force_quick_gelu=_wants_quick_gelu(spec),
        pretrained_text=False,
        require_pretrained=True,
    )


def _wants_quick_gelu(spec: OpenClipSpec) -> bool:
    """Whether the tag's weights were trained with another activation than the model's name says.

    open_clip only warns then, and the vectors are wrong.
    """
    from open_clip.pretrained import get_pretrained_cfg

    return bool(get_pretrained_cfg(spec.model, spec.pretrained or "").get("quick_gelu"))


def _needed_columns(text: Any) -> Callable[[Any], Any] | None:
    """A function that tells for each row of tokens how many columns its vector depends on; None if it is always all.

    What follows the end of a text has no effect where attention is masked, or causal and read at that end. Other
    towers (SigLIP's) were trained to see the padding.
    """
    from open_clip.hf_model import HFTextEncoder
    from open_clip.transformer import TextTransformer

    if isinstance(text, HFTextEncoder):
        pad_id = text.config.pad_token_id
        return lambda tokens: tokens.shape[1] - (tokens != pad_id).flip(1).int().argmax(dim=1)
    if not isinstance(text, TextTransformer) or text.attn_mask is None or text.cls_emb is not None:
        return None
    match text.pool_type:
        case "argmax":
            return lambda tokens: tokens.argmax(dim=1) + 1
        case "eos":
            return lambda tokens: (tokens == text.eos_id).int().argmax(dim=1) + 1
    return None


def _open_clip() -> Any:
    # open_clip switches the threads of all fast tokenizers off when it is imported.
    parallelism = os.environ.get("TOKENIZERS_PARALLELISM")
    try:
        with quiet():
            import open_clip
    except ImportError as error:
        raise InputError(f"open_clip cannot be imported: {error}", _INSTALL) from None
    if parallelism is None:
        os.environ.pop("TOKENIZERS_PARALLELISM", None)
    else:
        os.environ["TOKENIZERS_PARALLELISM"] = parallelism
    return open_clip


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if not (folder / _CONFIG).is_file():
        raise InputError(f"{folder} holds no open_clip model: it has no {_CONFIG}")


def _check_weights(open_clip: Any, model: str, pretrained: str) -> None:
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained.lower().replace("-", "_") in tags:  # As open_clip compares them.
        if open_clip.get_model_config(model).get("quick_gelu") and not _wants_quick_gelu(
            OpenClipSpec(model, pretrained)
        ):
            raise InputError(
                f"open_clip's weights {pretrained!r} were trained without QuickGELU, which {model} has",
                f"Take the model of the same name without -quickgelu: {model.removesuffix('-quickgelu')}/{pretrained}",
            )
        return
    if Path(pretrained).is_file():
        return
    if "/" in pretrained or Path(pretrained).suffix:
        raise InputError(f"there is no file of weights {pretrained}", f"Tags of {model}: {', '.join(tags) or 'none'}")
    raise InputError(
        f"open_clip's {model} has no pretrained weights {pretrained!r}.{_did_you_mean(pretrained, tags)}",
        f"Its tags: {', '.join(tags)}" if tags else "It has no tags: name a file of weights.",
    )


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    """The nearest names, whatever their case."""
    by_lower = {known.lower(): known for known in names}
    near = [by_lower[lower] for lower in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _cannot_load(spec: OpenClipSpec, error: Exception) -> RunError:
    log.debug("open_clip cannot load the encoder", exc_info=error)
    name = f"{spec.model}/{spec.pretrained}" if spec.pretrained else spec.model
    return RunError(f"the encoder open_clip:{name} cannot be loaded: {str(error)[:600]}", _LOAD_ADVICE)
