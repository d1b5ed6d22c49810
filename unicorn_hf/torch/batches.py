"""Collate items to batches, and insert image embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from unicorn_hf.core.errors import InputError
from unicorn_hf.torch.conversations import IGNORE_INDEX, Tokenized

Item = Mapping[str, torch.Tensor]


def as_item(tokens: Tokenized, embedding: torch.Tensor) -> dict[str, torch.Tensor]:
    """An item of our data sets: see `UnicornDataset`."""
    ids, labels, image_mask = map(torch.from_numpy, tokens)
    masks = {"attention_mask": torch.ones_like(ids), "image_mask": image_mask}
    return {"input_ids": ids, "labels": labels, **masks, "embeddings": embedding}


class Collator:
    """Collates items of our data sets to a batch, padded to its longest item.

    A batch of `rows` items has `input_ids`, `labels`, `attention_mask` (int64) and `image_mask` (bool), all of the
    shape (rows, tokens), and `embeddings`, float32, of the shape (rows, dim).

    Args:
        tokenizer: of transformers; its padding token is used, or its end token if it has none.
        padding_side: "right", or "left".
        pad_to_multiple_of: rounds the length up to a multiple of this, which is faster on some GPUs.

    Raises:
        InputError: the tokenizer has neither token, or `padding_side` is invalid.
    """

    def __init__(self, tokenizer: Any, *, padding_side: str = "right", pad_to_multiple_of: int = 1) -> None:
        ids = (tokenizer.pad_token_id, tokenizer.eos_token_id)
        pad_token_id = next((number for number in ids if number is not None), None)
        if pad_token_id is None:
            raise InputError("the tokenizer has no padding token", "Set one: tokenizer.pad_token = ...")
        if padding_side not in ("left", "right"):
            raise InputError(f'padding_side must be "left" or "right", not {padding_side!r}')
        self._fill = {"input_ids": pad_token_id, "labels": IGNORE_INDEX, "attention_mask": 0, "image_mask": False}
        self._left = padding_side == "left"
        self._multiple = pad_to_multiple_of

    def __call__(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in items)
        length = -(-longest // self._multiple) * self._multiple

        def padded(row: torch.Tensor, fill: int) -> torch.Tensor:
            missing = length - len(row)
            return functional.pad(row, (missing, 0) if self._left else (0, missing), value=fill)

        batch = {name: torch.stack([padded(item[name], fill) for item in items]) for name, fill in self._fill.items()}
        return {**batch, "embeddings": torch.stack([item["embeddings"] for item in items])}


def place_images(inputs_embeds: torch.Tensor, image_mask: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Insert the projector's outputs at the positions of the images; gradients flow to both arguments.

    Args:
        inputs_embeds: of shape (rows, tokens, hidden): the output of the language model's embedding layer for
            `input_ids`.
        image_mask: of shape (rows, tokens), from the batch.
        images: of shape (rows, hidden), repeated at all positions of an image; or (rows, image_tokens, hidden).

    Returns:
        The language model's argument `inputs_embeds`, in its dtype.

    Raises:
        InputError: the shape of `images` does not fit the mask.
    """
    rows, _, hidden = inputs_embeds.shape
    places = int(image_mask[0].sum()) if rows else 0
    if images.dim() == 2:
        images = images[:, None].expand(-1, places, -1)
    if images.shape != (rows, places, hidden):
        raise InputError(f"images have the shape {tuple(images.shape)}, but must have ({rows}, {places}, {hidden})")
    return inputs_embeds.masked_scatter(image_mask[..., None], images.to(inputs_embeds.dtype))
