"""Both sides of any model of open_clip."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.model_source import is_path
from unicorn_hf.encoders.open_clip import HUB, LOCAL, OpenClip
from unicorn_hf.encoders.towers.tokens import open_clip_tokens
from unicorn_hf.encoders.towers.towers import ImageTower, TextTower, device_and_dtype
from unicorn_hf.models import INSTALL
from unicorn_hf.models.quiet import quiet

log = logging.getLogger(__name__)

_CONFIG = "open_clip_config.json"
_NAMES = ("hf_tokenizer_name", "hf_model_name", "timm_model_name")
"""Configuration keys that name other models."""
_MODELS_ADVICE = "List all names: python -c 'import open_clip; print(open_clip.list_models())'"
_LOAD_ADVICE = (
    "Weights that are not in the cache are downloaded from the Hub, which must be reachable.\n"
    "A folder (open_clip:local-dir:FOLDER) or a weights file needs no network."
)


def check(spec: OpenClip) -> None:
    """Check before a build that open_clip knows the encoder, without loading weights.

    Models on the Hub are checked only when they are loaded.

    Raises:
        InputError: open_clip is not installed, or knows no such model, tag, file or folder.
    """
    open_clip = _open_clip()
    if spec.model.startswith(HUB):
        _check_config(spec.model, _hub_config(spec.model.removeprefix(HUB)), is_foreign=True)
        return
    if spec.model.startswith(LOCAL):
        folder = Path(spec.model.removeprefix(LOCAL))
        _check_folder(folder)
        _check_config(spec.model, folder / _CONFIG)
        return
    models = open_clip.list_models()
    if spec.model not in models:
        raise InputError(f"open_clip has no model {spec.model!r}.{_did_you_mean(spec.model, models)}", _MODELS_ADVICE)
    _check_weights(open_clip, spec.model, spec.pretrained or "")


def text_tower(spec: OpenClip) -> TextTower:
    """The model's text tower, without the rest.

    Raises:
        InputError: open_clip knows no such encoder.
        RunError: its weights are unavailable or do not fit.
    """
    with _loading(spec):
        tokenizer = _open_clip().get_tokenizer(spec.model)
        model = _load(spec)
    # Free at least half of the weights: captions do not need them.
    model.visual = None
    model.text_decoder = None
    device, dtype = device_and_dtype()
    model = model.to(device, dtype).eval().requires_grad_(False)
    whole = _sees_padding(model.text)
    causal_mask = None if whole else getattr(model.text, "attn_mask", None)

    def features(ids: Any, _: Any) -> Any:
        if causal_mask is not None:
            model.text.attn_mask = causal_mask[: ids.shape[1], : ids.shape[1]]
        return model.encode_text(ids)

    return TextTower(features, open_clip_tokens(tokenizer, whole=whole), device)


def image_tower(spec: OpenClip) -> ImageTower:
    """The model's image tower, with the preprocessing that it was trained with.

    Raises:
        InputError: open_clip knows no such encoder.
        RunError: its weights are unavailable or do not fit.
    """
    with _loading(spec):
        from open_clip.transform import PreprocessCfg, image_transform_v2

        model = _load(spec)
        preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    model.text = None
    device, dtype = device_and_dtype()
    model = model.to(device, dtype).eval().requires_grad_(False)
    return ImageTower(model.encode_image, preprocess, device, dtype)


@contextmanager
def _loading(spec: OpenClip) -> Iterator[None]:
    """Check the encoder, and convert any error inside the block to one about it."""
    check(spec)
    with quiet():
        try:
            yield
        except Exception as error:
            log.debug("open_clip cannot load the encoder", exc_info=error)
            name = f"{spec.model}/{spec.pretrained}" if spec.pretrained else spec.model
            raise RunError(f"the encoder open_clip:{name} cannot be loaded: {str(error)[:600]}", _LOAD_ADVICE) from None


def _load(spec: OpenClip) -> Any:
    open_clip = _open_clip()
    return open_clip.create_model(
        spec.model,
        pretrained=spec.pretrained,
        # All models but CoCa become a CustomTextCLIP, whose text tower is separate.
        force_custom_text=True,
        force_quick_gelu=_wants_quick_gelu(spec),
        pretrained_text=False,
        require_pretrained=True,
    )


def _wants_quick_gelu(spec: OpenClip) -> bool:
    """Whether the tag's weights were trained with QuickGELU, even if the model's name does not say so.

    On a mismatch open_clip only warns, and the vectors are wrong.
    """
    from open_clip.pretrained import get_pretrained_cfg

    return bool(get_pretrained_cfg(spec.model, spec.pretrained or "").get("quick_gelu"))


def _sees_padding(text: Any) -> bool:
    """Whether the padding after a text affects its vector.

    It does not if attention is masked, or causal and pooled at the end of the text. Other towers, such as SigLIP's,
    were trained to see the padding.
    """
    from open_clip.hf_model import HFTextEncoder
    from open_clip.transformer import TextTransformer

    if isinstance(text, HFTextEncoder):
        return False
    if not isinstance(text, TextTransformer) or text.attn_mask is None or text.cls_emb is not None:
        return True
    return text.pool_type not in ("argmax", "eos")


def _open_clip() -> Any:
    # On import open_clip disables the threads of all fast tokenizers: undo that.
    parallelism = os.environ.get("TOKENIZERS_PARALLELISM")
    try:
        with quiet():
            import open_clip
    except ImportError as error:
        raise InputError(f"open_clip cannot be imported: {error}", INSTALL) from None
    if parallelism is None:
        os.environ.pop("TOKENIZERS_PARALLELISM", None)
    else:
        os.environ["TOKENIZERS_PARALLELISM"] = parallelism
    return open_clip


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if not (folder / _CONFIG).is_file():
        raise InputError(f"{folder} is not an open_clip model: it has no {_CONFIG}")


def _hub_config(repo_id: str) -> Path | None:
    """The configuration of a model on the Hub; None if it is unavailable: open_clip reports the error when it loads."""
    from huggingface_hub import hf_hub_download

    try:
        with quiet():
            return Path(hf_hub_download(repo_id, _CONFIG))
    except (OSError, ValueError):
        return None


def _check_config(model: str, path: Path | None, *, is_foreign: bool = False) -> None:
    """Check that a model's configuration enables no remote code, and names no local files if it comes from the Hub.

    Raises:
        InputError: it does.
    """
    try:
        values = list(_values(json.loads(path.read_bytes()))) if path else []
    except (OSError, ValueError, RecursionError):
        return  # open_clip reports the error when it loads the model.
    if any(key == "trust_remote_code" and value for key, value in values):
        raise InputError(f"{model} enables code from a model's repository (trust_remote_code)", "Use another encoder.")
    for key, value in values:
        if is_foreign and key in _NAMES and is_path(str(value)):
            raise InputError(f"{model} names a local file as {key}: {value!r}", "Use another encoder.")


def _values(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """All values in JSON with their keys."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _values(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, key)
    else:
        yield key, value


def _check_weights(open_clip: Any, model: str, pretrained: str) -> None:
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained.lower().replace("-", "_") in tags:  # As open_clip compares them.
        if open_clip.get_model_config(model).get("quick_gelu") and not _wants_quick_gelu(OpenClip(model, pretrained)):
            raise InputError(
                f"open_clip's weights {pretrained!r} were trained without QuickGELU, which {model} has",
                f"Use the model without -quickgelu: {model.removesuffix('-quickgelu')}/{pretrained}",
            )
        return
    if Path(pretrained).is_file():
        return
    if "/" in pretrained or Path(pretrained).suffix:
        raise InputError(f"there is no weights file {pretrained}", f"Tags of {model}: {', '.join(tags) or 'none'}")
    raise InputError(
        f"open_clip's {model} has no pretrained weights {pretrained!r}.{_did_you_mean(pretrained, tags)}",
        f"Its tags: {', '.join(tags)}" if tags else "It has no tags: give a weights file.",
    )


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    """The most similar names, ignoring case."""
    by_lower = {known.lower(): known for known in names}
    near = [by_lower[lower] for lower in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    return f" Did you mean {' or '.join(near)}?" if near else ""
