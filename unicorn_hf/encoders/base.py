"""Base class of encoders with PyTorch towers."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.model_source import is_hub_name
from unicorn_hf.encoders.towers.transformers_models import loading

if TYPE_CHECKING:
    from unicorn_hf.core.generation import ImageEncoder, TextEncoder
    from unicorn_hf.core.recipe import LongCaptions
    from unicorn_hf.encoders.towers.tokens import Tokens
    from unicorn_hf.encoders.towers.towers import ImageFeatures, ImageTower, Preprocess, TextFeatures, TextTower


class TowerPair(AnyEncoder):
    """A text tower and an image tower of the same space. `str` is its name in messages."""

    __slots__ = ()

    modules: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    load_advice: ClassVar[str] = (
        "A model that is not in the cache is downloaded from the Hub, which must be reachable; a folder needs no"
        " network.\nOnly safetensors are read, and no code from the model's repository is run."
    )

    @property
    def names_file(self) -> bool:
        return not all(is_hub_name(model.name) for model in self.hub_models())

    @abstractmethod
    def load_text(self, device: str, dtype: Any) -> "tuple[TextFeatures, Tokens]":
        """Load the text side. Any exception becomes an error about this encoder: see `loading`."""

    @abstractmethod
    def load_images(self, device: str, dtype: Any) -> "tuple[ImageFeatures, Preprocess]":
        """Load the image side; see `load_text`."""

    def text_tower(self) -> "TextTower":
        """Raises as `AnyEncoder.open`."""
        from unicorn_hf.encoders.towers.towers import TextTower, device_and_dtype

        with loading(str(self), self.load_advice):
            device, dtype = device_and_dtype()
            return TextTower(*self.load_text(device, dtype), device)

    def image_tower(self) -> "ImageTower":
        """Raises as `AnyEncoder.open`."""
        from unicorn_hf.encoders.towers.towers import ImageTower, device_and_dtype

        with loading(str(self), self.load_advice):
            device, dtype = device_and_dtype()
            return ImageTower(*self.load_images(device, dtype), device, dtype)

    def open(self, batch_size: int, long_captions: "LongCaptions") -> "TextEncoder":
        from unicorn_hf.encoders.towers.towers import TowerEncoder

        return TowerEncoder(self.text_tower(), batch_size, long_captions)

    def open_images(self, batch_size: int) -> "ImageEncoder":
        from unicorn_hf.encoders.towers.towers import TowerImageEncoder

        return TowerImageEncoder(self.image_tower(), batch_size)
