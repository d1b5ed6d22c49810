"""Any model of open_clip."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.model_source import DEMO, ModelSource, is_hub_name, is_path, published_name
from unicorn_hf.encoders.base import TowerPair

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.towers import ImageTower, TextTower

LOCAL, HUB = "local-dir:", "hf-hub:"
_WHOLE_NAMES = (HUB, LOCAL, DEMO)


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

    model: str
    """open_clip's model name, or `hf-hub:ORG/NAME`, `local-dir:FOLDER`, `demo:NAME`."""
    pretrained: str | None = None
    """A pretrained tag or a weights file; None if the model's name implies the weights."""

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
        return not (self.is_demo or is_hub_name(self.model.removeprefix(HUB)))

    def published(self, rest: str) -> str:
        if self.model.startswith(LOCAL):
            return f"{LOCAL}{Path(self.model.removeprefix(LOCAL)).name}"
        return f"{self.model}/{published_name(self.pretrained)}" if self.pretrained else rest

    def hub_models(self) -> list[ModelSource]:
        if self.pretrained:
            return [ModelSource(_repository_of_tag(self.model, self.pretrained))]
        return [ModelSource(self.model.removeprefix(HUB))] if self.model.startswith(HUB) else []

    def resolve(self) -> Self:
        from unicorn_hf.encoders.towers.open_clip import check

        found = self
        if self.is_demo:
            from unicorn_hf.models.demo_models import demo_encoder

            found = type(self)(f"{LOCAL}{demo_encoder(self.model.removeprefix(DEMO))}")
        check(found)
        return found

    def identity(self) -> str:
        return fingerprint("open_clip", self._content())

    def _content(self) -> str:
        from unicorn_hf.models.folders import folder_identity

        if self.model.startswith(LOCAL):
            return folder_identity(Path(self.model.removeprefix(LOCAL)))
        if self.pretrained and Path(self.pretrained).is_file():
            return fingerprint(self.model, file_sha256(Path(self.pretrained)))
        return fingerprint(self.model, self.pretrained)

    def text_tower(self) -> "TextTower":
        from unicorn_hf.encoders.towers.open_clip import text_tower

        return text_tower(self)

    def image_tower(self) -> "ImageTower":
        from unicorn_hf.encoders.towers.open_clip import image_tower

        return image_tower(self)


def _repository_of_tag(model: str, tag: str) -> str:
    """The Hub repository of a model's weights; open_clip's own name for them if that is unknown."""
    try:
        from open_clip.pretrained import get_pretrained_cfg
    except ImportError:
        return f"{model}/{tag}"
    return str(get_pretrained_cfg(model, tag).get("hf_hub") or f"{model}/{tag}").rstrip("/")
