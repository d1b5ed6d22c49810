"""Base class of encoders with PyTorch towers."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from unicorn_hf.core.encoder import AnyEncoder

if TYPE_CHECKING:
    from unicorn_hf.core.generation import ImageEncoder, TextEncoder
    from unicorn_hf.core.recipe import LongCaptions
    from unicorn_hf.encoders.towers.towers import ImageTower, TextTower


class TowerPair(AnyEncoder):
    """A text tower and an image tower of the same space."""

    __slots__ = ()

    modules: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")

    @abstractmethod
    def text_tower(self) -> "TextTower":
        """Raises as `AnyEncoder.open`."""

    @abstractmethod
    def image_tower(self) -> "ImageTower":
        """Raises as `AnyEncoder.open`."""

    def open(self, batch_size: int, long_captions: "LongCaptions") -> "TextEncoder":
        from unicorn_hf.encoders.towers.towers import TowerEncoder

        return TowerEncoder(self.text_tower(), batch_size, long_captions)

    def open_images(self, batch_size: int) -> "ImageEncoder":
        from unicorn_hf.encoders.towers.towers import TowerImageEncoder

        return TowerImageEncoder(self.image_tower(), batch_size)
