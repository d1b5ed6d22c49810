"""Any CLIP or SigLIP model of transformers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import ModelSource, is_hub_name
from unicorn_hf.encoders.base import TowerPair

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.towers import ImageTower, TextTower


@ENCODERS.register("clip")
@dataclass(frozen=True, slots=True)
class Clip(TowerPair):
    """A CLIP or SigLIP model of transformers."""

    forms = {"MODEL": "a CLIP or SigLIP model of transformers, e.g. clip:openai/clip-vit-large-patch14"}

    model: ModelSource

    @classmethod
    def parse(cls, rest: str) -> Self:
        return cls(ModelSource.parse(rest))

    @property
    def names_file(self) -> bool:
        return not is_hub_name(self.model.name)

    def published(self, rest: str) -> str:
        return str(self.model.published)

    def hub_models(self) -> list[ModelSource]:
        return [self.model]

    def identity(self) -> str:
        from unicorn_hf.models.folders import source_identity

        # The class's name in an earlier version: existing vectors are found by it.
        return fingerprint("ClipSpec", [source_identity(self.model)])

    def text_tower(self) -> "TextTower":
        from unicorn_hf.encoders.towers.clip import text_tower

        return text_tower(self)

    def image_tower(self) -> "ImageTower":
        from unicorn_hf.encoders.towers.clip import image_tower

        return image_tower(self)
