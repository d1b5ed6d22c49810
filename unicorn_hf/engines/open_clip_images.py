"""Any image tower of open_clip, with the preprocessing that it was trained with."""

import gc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.encoder_spec import OpenClipSpec
from unicorn_hf.engines import open_clip as text_side
from unicorn_hf.engines.quiet import quiet

if TYPE_CHECKING:
    from PIL.Image import Image


class OpenClipImageEncoder:
    """Implements `ImageEncoder`: bfloat16 on a GPU, float32 without one.

    Args:
        spec: the model, as for the text side.
        batch_size: pictures in one pass.

    Raises:
        InputError: open_clip knows no such encoder.
        RunError: its weights cannot be had or do not fit.
    """

    dim: int

    def __init__(self, spec: OpenClipSpec, batch_size: int) -> None:
        text_side.check(spec)
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self._batch_size = batch_size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with quiet():
            try:
                model = text_side._load(spec)
                self._preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
            except Exception as error:  # noqa: BLE001 - open_clip, torch, safetensors and the Hub raise what they like
                raise text_side._cannot_load(spec, error) from None
        model.text = None
        self._dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self._model = model.to(self._device, self._dtype).eval().requires_grad_(False)
        self._threads = ThreadPoolExecutor(thread_name_prefix="preprocess")
        self.dim = int(self._encode(self._blank()).shape[1])

    def encode(self, images: "Sequence[Image]") -> NDArray[np.float32]:
        """Array of shape (len(images), dim), float32, each row of L2 norm 1."""
        import torch

        vectors = np.empty((len(images), self.dim), dtype=np.float32)
        # The next batch is scaled while this one is encoded.
        scaled = self._threads.map(self._preprocess, images)
        for start in range(0, len(images), self._batch_size):
            batch = [next(scaled) for _ in images[start : start + self._batch_size]]
            vectors[start : start + len(batch)] = self._encode(torch.stack(batch))
        return vectors

    def close(self) -> None:
        """Give back the model's memory."""
        import torch

        self._model = None
        self._threads.shutdown(cancel_futures=True)
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _encode(self, pixels: Any) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            features = self._model.encode_image(pixels.to(self._device, self._dtype))
            unit = torch.nn.functional.normalize(features.float(), dim=-1)
            vectors: NDArray[np.float32] = unit.cpu().numpy()
            return vectors

    def _blank(self) -> Any:
        import torch
        from PIL import Image

        return torch.stack([self._preprocess(Image.new("RGB", (8, 8)))])
