"""Encoders around a tower: batches, order, long captions; the tower itself is a table of numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from unicorn_hf.core.errors import RunError
from unicorn_hf.encoders.towers.tokens import Frame, Tokens
from unicorn_hf.encoders.towers.towers import (
    ImageTower,
    TextTower,
    TowerEncoder,
    TowerImageEncoder,
    device_and_dtype,
)

ROOM = 4
TABLE = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
WORDS = [f"w{number}" for number in range(20)]
TEXTS = [" ".join(WORDS[:size]) for size in (3, 1, 9, 4, 2, 12, 5, 1)] + [
    "w1 w2. w3 w4! w5",
    "",
    "w7. w8. w9. w10. w11.",
]


def contents(texts: Any) -> list[list[int]]:
    return [[int("0" + word.strip(".!")[1:]) + 1 for word in text.split()] for text in texts]


class Table:
    """The sum of its tokens' numbers; remembers the shapes that it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, ids: Any, mask: Any) -> Any:
        self.shapes.append(tuple(ids.shape))
        return (TABLE.to(ids.device)[ids] * mask[..., None]).sum(dim=1)


def encoder(
    long_captions: Any = "truncate", batch_size: int = 3, *, pad_left: bool = False
) -> tuple[TowerEncoder, Table]:
    table = Table()
    frame = Frame(ROOM + 2, (100,), (101,), 150, pad_left=pad_left)
    made = TowerEncoder(TextTower(table, Tokens(contents, frame), "cpu"), batch_size, long_captions)
    table.shapes.clear()
    return made, table


MEMORY = {
    "on a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "on the processor": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
}


class Small(Table):
    """Has no memory for more than so many rows at once."""

    def __init__(self, num_rows: int, error: Exception) -> None:
        super().__init__()
        self._num_rows = num_rows
        self._error = error

    def __call__(self, ids: Any, mask: Any) -> Any:
        features = super().__call__(ids, mask)
        if len(ids) > self._num_rows:
            raise self._error
        return features


def vector(ids: list[int]) -> NDArray[np.float64]:
    total = TABLE.double().numpy()[[100, *ids[:ROOM], 101]].sum(axis=0)
    return np.array(total / np.linalg.norm(total))


@pytest.mark.parametrize("pad_left", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_each_text_has_its_vector_in_whatever_batch(batch_size: int, pad_left: bool) -> None:
    made, _ = encoder(batch_size=batch_size, pad_left=pad_left)
    told: list[int] = []
    encoded = made.encode(TEXTS, told.append)
    assert (encoded.vectors.dtype, encoded.vectors.shape) == (np.float32, (len(TEXTS), 6))
    np.testing.assert_allclose(encoded.vectors, [vector(ids) for ids in contents(TEXTS)], atol=1e-6)
    assert encoded.num_long == 5
    assert sum(told) == len(TEXTS)


@pytest.mark.parametrize("long_captions", ["truncate", "chunk"])
@pytest.mark.parametrize("error", MEMORY.values(), ids=MEMORY)
def test_what_memory_does_not_hold_is_encoded_in_smaller_batches(error: Exception, long_captions: Any) -> None:
    frame = Frame(ROOM + 2, (100,), (101,), 150)
    table = Small(2, error)
    small = TowerEncoder(TextTower(table, Tokens(contents, frame), "cpu"), 100, long_captions)
    wanted = encoder(long_captions, batch_size=100)[0].encode(TEXTS)
    for _ in range(2):
        table.shapes.clear()
        found = small.encode(TEXTS)
        np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-6)
        assert found.num_long == wanted.num_long
    # It has learned what fits.
    assert max(rows for rows, _ in table.shapes) <= 2


@pytest.mark.parametrize("error", [*MEMORY.values(), RuntimeError("the weights are of another shape")])
def test_no_memory_for_one_is_told_and_other_errors_are_no_lack_of_it(error: RuntimeError) -> None:
    frame = Frame(ROOM + 2, (100,), (101,), 150)
    with pytest.raises(RuntimeError if "shape" in str(error) else RunError) as told:
        TowerEncoder(TextTower(Small(0, error), Tokens(contents, frame), "cpu"), 4, "truncate")
    assert isinstance(told.value, RunError) or told.value is error


def test_pictures_that_memory_does_not_hold_are_encoded_in_smaller_batches() -> None:
    sizes: list[int] = []

    def features(pixels: Any) -> Any:
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return pixels + torch.arange(1, 6)

    shades = np.arange(0, 250, 25)
    tower = ImageTower(features, lambda image: torch.full((5,), image.getpixel((0, 0))[0]), "cpu", torch.float32)
    vectors = TowerImageEncoder(tower, 8).encode([Image.new("RGB", (4, 4), (int(shade), 0, 0)) for shade in shades])
    wanted = shades[:, None] + np.arange(1, 6)
    np.testing.assert_allclose(vectors, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    # The first is the picture that tells how long vectors are.
    assert sizes == [1, 8, 4, 2, 2, 2, 2, 2]


def test_texts_of_like_length_share_a_batch() -> None:
    made, table = encoder(batch_size=4)
    made.encode(["w1", "w1 w2 w3 w4"] * 8)
    assert table.shapes == [(4, 3)] * 2 + [(4, 6)] * 2


def test_windows_of_a_long_text_are_averaged_by_their_tokens() -> None:
    made, _ = encoder("chunk")
    encoded = made.encode(TEXTS)
    assert encoded.num_long == 5
    wanted = np.stack([vector(ids) for ids in contents(TEXTS)])
    for row, sizes in {2: (4, 4, 1), 5: (4, 4, 4), 6: (4, 1), 8: (4, 1), 10: (4, 1)}.items():
        ids, start, total = contents(TEXTS)[row], 0, np.zeros(6)
        for size in sizes:
            total += (size + 2) * vector(ids[start : start + size])
            start += size
        wanted[row] = total / np.linalg.norm(total)
    np.testing.assert_allclose(encoded.vectors, wanted, atol=1e-6)


def test_more_batches_than_are_fetched_at_once() -> None:
    made, _ = encoder(batch_size=1)
    texts = [f"w{number % 20}" for number in range(100)]
    np.testing.assert_allclose(made.encode(texts).vectors, [vector(ids) for ids in contents(texts)], atol=1e-6)


def test_pictures_have_their_vectors_in_order() -> None:
    def preprocess(image: Image.Image) -> Any:
        return torch.from_numpy(np.asarray(image, dtype=np.float32).copy()).permute(2, 0, 1)

    tower = ImageTower(lambda pixels: pixels.mean(dim=(2, 3)) + 1, preprocess, "cpu", torch.float32)
    made = TowerImageEncoder(tower, batch_size=3)
    colours = [(number, 2 * number, 90) for number in range(10)]
    found = made.encode([Image.new("RGB", (4, 4), colour) for colour in colours])
    wanted = np.array(colours, dtype=np.float64) + 1
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    assert made.encode([]).shape == (0, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_vectors_are_those_of_the_cpu() -> None:
    device, dtype = device_and_dtype()
    assert (device, dtype) in (("cuda", torch.bfloat16), ("cuda", torch.float16))
    frame = Frame(ROOM + 2, (100,), (101,), 150)
    made = TowerEncoder(TextTower(Table(), Tokens(contents, frame), device), 3, "chunk")
    there, here = made.encode(TEXTS * 40), encoder("chunk")[0].encode(TEXTS * 40)
    assert there.num_long == here.num_long
    np.testing.assert_allclose(there.vectors, here.vectors, atol=1e-5)
