"""LLaMA-Factory's way from an example to a batch: as many images as `<image>` in the text, each opened as a picture."""

from pathlib import Path
from typing import Any

from PIL import Image


class LlavaPlugin:
    image_token = "<image>"

    def process_messages(self, messages: Any, images: Any, videos: Any, audios: Any, processor: Any) -> Any:
        raise AssertionError("the tokens of a picture are counted by the size that its processor gives it")

    def get_mm_inputs(
        self, images: Any, videos: Any, audios: Any, imglens: Any, vidlens: Any, audlens: Any, ids: Any, processor: Any
    ) -> Any:
        return {"pixel_values": [Image.open(Path(image)) for image in images]}
