"""What all encoders of PyTorch have in common: batches, devices, and the CPU's work done while the tower computes."""

import gc
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Encoded
from unicorn_hf.core.recipe import LongCaptions
from unicorn_hf.encoders.towers.tokens import Tokens

if TYPE_CHECKING:
    from PIL.Image import Image

ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")
log = logging.getLogger(__name__)
_WAITING = 32
"""Batches whose vectors stay on the device before they are fetched together: nobody waits for the device till then."""


@dataclass
class TextTower:
    """A text tower on its device."""

    features: Callable[[Any, Any], Any]
    """(ids, mask) to features of shape (rows, dim). Both have the shape (rows, columns); `mask` is true where a row
    holds tokens."""
    tokens: Tokens
    device: str


@dataclass
class ImageTower:
    """An image tower on its device."""

    features: Callable[[Any], Any]
    """Pixels of shape (images, 3, height, width) to features of shape (images, dim)."""
    preprocess: Callable[["Image"], Any]
    """A picture to pixels of shape (3, height, width), float32."""
    device: str
    dtype: Any


class TowerEncoder:
    """Implements `TextEncoder` with a tower.

    Args:
        tower: it is let go of when the encoder is closed.
        batch_size: captions in one pass, at most.
        long_captions: what becomes of captions that are longer than the tower reads.
    """

    dim: int

    def __init__(self, tower: TextTower, batch_size: int, long_captions: LongCaptions) -> None:
        self._tower: TextTower | None = tower
        self._tokens = tower.tokens
        self._batches = Batches(batch_size)
        self._chunk = long_captions == "chunk"
        self.dim = int(self._encoded(self._rows(["a"])).shape[1])

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> Encoded:
        """See `TextEncoder.encode`."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        # Texts of like length share a batch, so that little padding is computed.
        order = np.argsort([len(text) for text in texts], kind="stable")
        size = self._batches.size
        parts = [order[start : start + size] for start in range(0, len(texts), size)]
        waiting: list[tuple[NDArray[np.intp], Any]] = []
        num_long = 0
        prepared = ahead(lambda part: self._rows([texts[place] for place in part]), parts)
        for part, rows in zip(parts, prepared, strict=True):
            waiting.append((part, self._encoded(rows)))
            num_long += rows.num_long
            if len(waiting) == _WAITING:
                _fetch(waiting, vectors)
            on_texts(len(part))
        _fetch(waiting, vectors)
        return Encoded(vectors, num_long)

    def close(self) -> None:
        """Give back the tower's memory."""
        self._tower = None
        free_memory()

    def _rows(self, texts: Sequence[str]) -> "_Rows":
        contents = self._tokens.contents(texts)
        room = self._tokens.frame.room
        is_long = [len(content) > room for content in contents]
        if not self._chunk:
            return _Rows(contents, list(range(len(texts))), len(texts), sum(is_long))
        windows: list[str] = []
        owners: list[int] = []
        for place, (text, long) in enumerate(zip(texts, is_long, strict=True)):
            of_text = self._tokens.windows(text) if long else [text]
            windows += of_text
            owners += [place] * len(of_text)
        return _Rows(self._tokens.contents(windows), owners, len(texts), sum(is_long))

    def _encoded(self, rows: "_Rows") -> Any:
        """Unit vectors of shape (texts, dim), float32, on the device: a text's windows averaged by their tokens."""
        import torch

        assert self._tower
        device, frame = self._tower.device, self._tokens.frame
        lengths = frame.lengths(rows.contents)
        order = np.argsort(lengths, kind="stable")
        features_of = self._tower.features
        total = None

        def units(places: NDArray[np.intp]) -> Any:
            ids = frame.rows([rows.contents[place] for place in places])
            # Before the padding on the right, behind it on the left.
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
    """Implements `ImageEncoder` with a tower.

    Args:
        tower: it is let go of when the encoder is closed.
        batch_size: pictures in one pass, at most.
    """

    dim: int

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
            # The next batch is scaled while this one is encoded.
            scaled = threads.map(self._tower.preprocess, images)
            while batch := [pixels for _, pixels in zip(range(self._batches.size), scaled, strict=False)]:
                vectors[start : start + len(batch)] = self._encoded(batch)
                start += len(batch)
        return vectors

    def close(self) -> None:
        """Give back the tower's memory."""
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
    """Cuts work into batches, and into smaller ones from where the device's memory does not hold one.

    Args:
        size: items in a batch, at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        """As far as it is known, the largest that fits."""

    def over(self, items: Any, make: Callable[[Any], MadeT]) -> Iterator[tuple[Any, MadeT]]:
        """Each batch of `items`, a list or an array, in order, and what `make` gives for it.

        Raises:
            RunError: there is not even memory for one item.
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
                    "the encoder's memory does not hold one item at a time",
                    "Fewer --workers, or a smaller encoder; on a GPU, see what else holds its memory.",
                )
            self.size = len(batch) // 2
            log.warning("the encoder is out of memory: from now on %d at a time", self.size)
            free_memory()

    @staticmethod
    def _tried(make: Callable[[Any], MadeT], batch: Any) -> MadeT | None:
        """None if it is out of memory; what it held is free again when this has returned."""
        try:
            return make(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch raised it for lack of memory: on a GPU by its kind, on the processor by its words alone."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(error)


@dataclass
class _Rows:
    """Texts as rows of token ids: one each, or several windows."""

    contents: list[list[int]]
    owners: list[int]
    """For each row, the number of the text that it belongs to."""
    num_texts: int
    num_long: int
    """Texts that are longer than the tower reads."""


def ahead(make: Callable[[ItemT], MadeT], items: Iterable[ItemT], depth: int = 2) -> Iterator[MadeT]:
    """What `make` gives for each item, in order, made in another thread, up to `depth` items before it is asked for."""
    waiting: deque[Future[MadeT]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        for item in items:
            waiting.append(thread.submit(make, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def device_and_dtype() -> tuple[str, Any]:
    """Where towers run, and in what: bfloat16 on a GPU, float16 on one that is too old for it, float32 without one."""
    import torch

    if not torch.cuda.is_available():
        return "cpu", torch.float32
    return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def free_memory() -> None:
    """Give what nothing refers to any more back to the device."""
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
