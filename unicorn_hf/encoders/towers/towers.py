"""Shared code of PyTorch encoders: batches, devices, and CPU work in parallel with the tower."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Encoded
from unicorn_hf.core.recipe import LongCaptions
from unicorn_hf.encoders.towers.tokens import Tokens

if TYPE_CHECKING:
    from PIL.Image import Image

TextFeatures = Callable[[Any, Any], Any]
"""(ids, mask) to features of shape (rows, dim). Both have the shape (rows, columns); `mask` is true where a row holds
tokens."""
ImageFeatures = Callable[[Any], Any]
"""Pixels of shape (images, 3, height, width) to features of shape (images, dim)."""
Preprocess = Callable[["Image"], Any]
"""An image to pixels of shape (3, height, width), float32."""
MadeT = TypeVar("MadeT")
log = logging.getLogger(__name__)
_WAITING = 32
"""Number of batches whose vectors are fetched from the device together: each fetch waits for the device."""


@dataclass
class TextTower:
    features: TextFeatures
    tokens: Tokens
    device: str


@dataclass
class ImageTower:
    features: ImageFeatures
    preprocess: Preprocess
    device: str
    dtype: Any


class TowerEncoder:
    """Implements `TextEncoder` with a tower, which is released when the encoder is closed."""

    def __init__(self, tower: TextTower, batch_size: int, long_captions: LongCaptions) -> None:
        self._tower: TextTower | None = tower
        self._tokens = tower.tokens
        self._batches = Batches(batch_size)
        self._chunk = long_captions == "chunk"
        self.dim = int(self._encoded(self._rows(["a"])).shape[1])

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> Encoded:
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        # Texts of similar length share a batch, to save padding.
        order = np.argsort([len(text) for text in texts], kind="stable")
        size = self._batches.size
        parts = [order[start : start + size] for start in range(0, len(texts), size)]
        waiting: list[tuple[NDArray[np.intp], Any]] = []
        num_long = 0
        with ThreadPoolExecutor(1, thread_name_prefix="tokens") as thread:
            # The next batches are tokenised while this one is encoded.
            prepared = thread.map(lambda part: self._rows([texts[place] for place in part]), parts)
            for part, rows in zip(parts, prepared, strict=True):
                waiting.append((part, self._encoded(rows)))
                num_long += rows.num_long
                if len(waiting) == _WAITING:
                    _fetch(waiting, vectors)
                on_texts(len(part))
        _fetch(waiting, vectors)
        return Encoded(vectors, num_long)

    def close(self) -> None:
        self._tower = None
        free_memory()

    def _rows(self, texts: Sequence[str]) -> "_Rows":
        contents = self._tokens.contents(texts)
        is_long = [len(content) > self._tokens.frame.room for content in contents]
        owners = list(range(len(texts)))
        if self._chunk and any(is_long):
            pairs = zip(texts, is_long, strict=True)
            windows = [self._tokens.windows(text) if long else [text] for text, long in pairs]
            owners = [place for place, of_text in enumerate(windows) for _ in of_text]
            contents = self._tokens.contents([window for of_text in windows for window in of_text])
        return _Rows(contents, owners, len(texts), sum(is_long))

    def _encoded(self, rows: "_Rows") -> Any:
        """Unit vectors of shape (texts, dim), float32, on the device; windows of a text are averaged by tokens."""
        import torch

        assert self._tower
        device, frame = self._tower.device, self._tokens.frame
        lengths = frame.lengths(rows.contents)
        order = np.argsort(lengths, kind="stable")
        features_of = self._tower.features
        total = None

        def units(places: NDArray[np.intp]) -> Any:
            ids = frame.rows([rows.contents[place] for place in places])
            # The tokens are before the padding, or after it with padding on the left.
            columns = np.arange(ids.shape[1])
            mask = (columns[::-1] if frame.pad_left else columns) < lengths[places, None]
            features = features_of(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
            return torch.nn.functional.normalize(features.float(), dim=-1)

        with torch.inference_mode():
            for places, unit in self._batches.over(order, units):
                total = unit.new_zeros(rows.num_texts, unit.shape[1]) if total is None else total
                weights = torch.from_numpy(lengths[places]).to(unit)
                owners = torch.tensor([rows.owners[place] for place in places], device=device)
                total.index_add_(0, owners, unit * weights[:, None])
        assert total is not None
        return torch.nn.functional.normalize(total, dim=-1)


class TowerImageEncoder:
    """Implements `ImageEncoder` with a tower, which is released when the encoder is closed."""

    def __init__(self, tower: ImageTower, batch_size: int) -> None:
        from PIL import Image

        self._tower: ImageTower | None = tower
        self._batches = Batches(batch_size)
        self.dim = int(self._encoded([tower.preprocess(Image.new("RGB", (8, 8)))]).shape[1])

    def encode(self, images: "Sequence[Image]") -> NDArray[np.float32]:
        """Array of shape (len(images), dim), float32, each row of L2 norm 1."""
        assert self._tower
        vectors = np.empty((len(images), self.dim), dtype=np.float32)
        start = 0
        with ThreadPoolExecutor(thread_name_prefix="preprocess") as threads:
            # The next batch is preprocessed while this one is encoded.
            scaled = threads.map(self._tower.preprocess, images)
            while batch := list(islice(scaled, self._batches.size)):
                vectors[start : start + len(batch)] = self._encoded(batch)
                start += len(batch)
        return vectors

    def close(self) -> None:
        self._tower = None
        free_memory()

    def _encoded(self, pixels: Sequence[Any]) -> NDArray[np.float32]:
        import torch

        assert self._tower
        features_of, device, dtype = self._tower.features, self._tower.device, self._tower.dtype

        def units(batch: Sequence[Any]) -> NDArray[np.float32]:
            features = features_of(torch.stack(list(batch)).to(device, dtype))
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
            return vectors

        with torch.inference_mode():
            return np.concatenate([vectors for _, vectors in self._batches.over(pixels, units)])


class Batches:
    """Splits work into batches; halves their size when the device runs out of memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        """The largest size that fits, as far as known."""

    def over(self, items: Any, make: Callable[[Any], MadeT]) -> Iterator[tuple[Any, MadeT]]:
        """Yield each batch of `items`, a list or an array, in order, with the result of `make`.

        Raises:
            RunError: a single item does not fit in memory.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            made = self._tried(make, batch)
            if made is not None:
                yield batch, made
                start += len(batch)
                continue
            if len(batch) == 1:
                raise RunError(
                    "the encoder runs out of memory even with one item",
                    "Use fewer --workers or a smaller encoder; on a GPU, check what else uses its memory.",
                )
            self.size = len(batch) // 2
            log.warning("the encoder ran out of memory: the new batch size is %d", self.size)
            free_memory()

    @staticmethod
    def _tried(make: Callable[[Any], MadeT], batch: Any) -> MadeT | None:
        """The result of `make`, or None if memory ran out; references of the failed call are gone on return."""
        import torch

        try:
            return make(batch)
        except RuntimeError as error:
            # On a GPU the type tells, on a CPU only the message.
            if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(error):
                return None
            raise


@dataclass
class _Rows:
    """Texts as rows of token ids: one row per text, or one per window."""

    contents: list[list[int]]
    owners: list[int]
    """For each row, the index of its text."""
    num_texts: int
    num_long: int
    """Number of texts that exceed the tower's context."""


def device_and_dtype() -> tuple[str, Any]:
    """Device and data type of towers: bfloat16 on a GPU, float16 on an older GPU, float32 on a CPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu", torch.float32
    return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def free_memory() -> None:
    """Free unreferenced memory of the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _fetch(waiting: list[tuple[NDArray[np.intp], Any]], vectors: NDArray[np.float32]) -> None:
    import torch

    if waiting:
        places = np.concatenate([part for part, _ in waiting])
        vectors[places] = torch.cat([unit for _, unit in waiting]).cpu().numpy()
        waiting.clear()
