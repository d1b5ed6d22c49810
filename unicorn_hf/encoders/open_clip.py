"""Any model of open_clip."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.model_source import DEMO, ModelSource, is_hub_name, is_path, published_name
from unicorn_hf.encoders.base import TowerPair
from unicorn_hf.models import INSTALL
from unicorn_hf.models.folders import folder_identity, hub_file
from unicorn_hf.models.quiet import quiet, restored

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.tokens import Tokens
    from unicorn_hf.encoders.towers.towers import ImageFeatures, Preprocess, TextFeatures

_LOCAL, _HUB = "local-dir:", "hf-hub:"
_WHOLE_NAMES = (_HUB, _LOCAL, DEMO)
_CONFIG = "open_clip_config.json"
_NAMES = ("hf_tokenizer_name", "hf_model_name", "timm_model_name")
"""Configuration keys that name other models."""
_MODELS_ADVICE = "List all names: python -c 'import open_clip; print(open_clip.list_models())'"


@ENCODERS.register("open_clip")
@dataclass(frozen=True, slots=True)
class OpenClip(TowerPair):
    """A model of open_clip."""

    forms = {
        "MODEL/PRETRAINED": "names of open_clip, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k",
        "MODEL/FILE": "the same with a weights file, e.g. open_clip:ViT-B-32//data/vit.safetensors",
        "hf-hub:ORG/NAME": "an open_clip model on the Hub",
        "local-dir:FOLDER": "a folder with open_clip_config.json and weights",
        "demo:minilm": "the demonstration encoder, for sentences and images of emoji",
    }
    modules = ("torch", "transformers", "open_clip")
    packages = ("torch", "transformers", "open_clip_torch")
    load_advice = (
        "Weights that are not in the cache are downloaded from the Hub, which must be reachable.\n"
        "A folder (open_clip:local-dir:FOLDER) or a weights file needs no network."
    )

    model: str
    """open_clip's model name, or `hf-hub:ORG/NAME`, `local-dir:FOLDER`, `demo:NAME`."""
    pretrained: str | None = None
    """A pretrained tag or a weights file; None if the model's name implies the weights."""

    def __str__(self) -> str:
        return f"open_clip:{self.model}/{self.pretrained}" if self.pretrained else f"open_clip:{self.model}"

    @classmethod
    def parse(cls, rest: str) -> Self:
        """Split at the first slash: open_clip's model names contain none, but file names may.

        For a model with a scheme (`hf-hub:`, `local-dir:`, `demo:`) the whole rest is its name.
        """
        for scheme in _WHOLE_NAMES:
            if rest.startswith(scheme) and rest != scheme:
                return cls(rest)
        model, slash, pretrained = rest.partition("/")
        if not model or not slash or not pretrained:
            raise InputError("the pretrained weights are missing")
        return cls(model, pretrained)

    @property
    def is_demo(self) -> bool:
        return self.model.startswith(DEMO)

    @property
    def rehearsal(self) -> str:
        text = "The vectors come from a demonstration encoder, whose image side knows only emoji."
        return text if self.is_demo else ""

    @property
    def names_file(self) -> bool:
        if self.pretrained is not None:
            return is_path(self.pretrained) or "/" in self.pretrained or os.path.lexists(self.pretrained)
        return not (self.is_demo or is_hub_name(self.model.removeprefix(_HUB)))

    def published(self, rest: str) -> str:
        if self.model.startswith(_LOCAL):
            return f"{_LOCAL}{Path(self.model.removeprefix(_LOCAL)).name}"
        return f"{self.model}/{published_name(self.pretrained)}" if self.pretrained else rest

    def hub_models(self) -> list[ModelSource]:
        if self.pretrained:
            return [ModelSource(_repository_of_tag(self.model, self.pretrained))]
        return [ModelSource(self.model.removeprefix(_HUB))] if self.model.startswith(_HUB) else []

    def resolve(self) -> Self:
        found = self
        if self.is_demo:
            from unicorn_hf.models.demo_models import demo_encoder

            found = type(self)(f"{_LOCAL}{demo_encoder(self.model.removeprefix(DEMO))}")
        found.check()
        return found

    def identity(self) -> str:
        if self.model.startswith(_LOCAL):
            return fingerprint("open_clip", folder_identity(Path(self.model.removeprefix(_LOCAL))))
        file = Path(self.pretrained) if self.pretrained else None
        weights = file_sha256(file) if file and file.is_file() else self.pretrained
        return fingerprint("open_clip", fingerprint(self.model, weights))

    def check(self) -> None:
        """Check before a build that open_clip knows the encoder, without loading weights.

        Models on the Hub are checked only when they are loaded.

        Raises:
            InputError: open_clip is not installed, or knows no such model, tag, file or folder.
        """
        open_clip = _open_clip()
        if self.model.startswith(_HUB):
            # If the file is unavailable, open_clip reports the error when it loads the model.
            _check_config(self.model, hub_file(self.model.removeprefix(_HUB), _CONFIG), is_foreign=True)
            return
        if self.model.startswith(_LOCAL):
            folder = Path(self.model.removeprefix(_LOCAL))
            if not folder.is_dir():
                raise InputError(f"there is no folder {folder}")
            if not (folder / _CONFIG).is_file():
                raise InputError(f"{folder} is not an open_clip model: it has no {_CONFIG}")
            _check_config(self.model, folder / _CONFIG)
            return
        models = open_clip.list_models()
        if self.model not in models:
            near = _did_you_mean(self.model, models)
            raise InputError(f"open_clip has no model {self.model!r}.{near}", _MODELS_ADVICE)
        _check_weights(open_clip, self.model, self.pretrained or "")

    def load_text(self, device: str, dtype: Any) -> "tuple[TextFeatures, Tokens]":
        from unicorn_hf.encoders.towers.tokens import open_clip_tokens

        model = self._load()
        # Free at least half of the weights: captions do not need them.
        model.visual = model.text_decoder = None
        model.to(device, dtype)
        whole = _sees_padding(model.text)
        causal_mask = None if whole else getattr(model.text, "attn_mask", None)

        def features(ids: Any, _: Any) -> Any:
            if causal_mask is not None:
                model.text.attn_mask = causal_mask[: ids.shape[1], : ids.shape[1]]
            return model.encode_text(ids)

        return features, open_clip_tokens(_open_clip().get_tokenizer(self.model), whole=whole)

    def load_images(self, device: str, dtype: Any) -> "tuple[ImageFeatures, Preprocess]":
        from open_clip.transform import PreprocessCfg, image_transform_v2

        model = self._load()
        preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        model.text = None
        model.to(device, dtype)
        return model.encode_image, preprocess

    def _load(self) -> Any:
        self.check()
        model = _open_clip().create_model(
            self.model,
            pretrained=self.pretrained,
            # All models but CoCa become a CustomTextCLIP, whose text tower is separate.
            force_custom_text=True,
            force_quick_gelu=_wants_quick_gelu(self.model, self.pretrained or ""),
            pretrained_text=False,
            require_pretrained=True,
        )
        return model.eval().requires_grad_(False)


def _wants_quick_gelu(model: str, pretrained: str) -> bool:
    """Whether the tag's weights were trained with QuickGELU, even if the model's name does not say so.

    On a mismatch open_clip only warns, and the vectors are wrong.
    """
    from open_clip.pretrained import get_pretrained_cfg

    return bool(get_pretrained_cfg(model, pretrained).get("quick_gelu"))


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
    try:
        # On import open_clip disables the threads of all fast tokenizers.
        with quiet(), restored("TOKENIZERS_PARALLELISM"):
            import open_clip
    except ImportError as error:
        raise InputError(f"open_clip cannot be imported: {error}", INSTALL) from None
    return open_clip


def _check_config(model: str, path: Path | None, *, is_foreign: bool = False) -> None:
    """Check that a model's configuration enables no remote code, and names no local files if it comes from the Hub."""
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
        if open_clip.get_model_config(model).get("quick_gelu") and not _wants_quick_gelu(model, pretrained):
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


def _repository_of_tag(model: str, tag: str) -> str:
    """The Hub repository of a model's weights; open_clip's own name for them if that is unknown."""
    try:
        from open_clip.pretrained import get_pretrained_cfg
    except ImportError:
        return f"{model}/{tag}"
    return str(get_pretrained_cfg(model, tag).get("hf_hub") or f"{model}/{tag}").rstrip("/")
