"""Rows of a set as training items, by index or as a stream."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.utils.data

from unicorn_hf.builders.rows import fitting
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.streams import end_quietly
from unicorn_hf.hub.failures import diagnose
from unicorn_hf.reading.errors import cause_of, dataset_errors
from unicorn_hf.runtime.dataset_card import check_data_files
from unicorn_hf.torch.batches import as_item
from unicorn_hf.torch.conversations import ConversationTokenizer

_COLUMNS = ["id", "conversations", "image_embedding"]
_NUM_READ = 64
"""Batch size for reading and tokenising a stream."""

Item = dict[str, torch.Tensor]
Rows = Any
"""A Dataset or an IterableDataset of `datasets`."""


class UnicornDataset(torch.utils.data.Dataset):  # type: ignore[misc]
    """A set by index, for shuffling and samplers. The time to read a row does not depend on the size of the set.

    An item has `input_ids`, `labels`, `attention_mask` (int64) and `image_mask` (bool), all of the shape (tokens,), and
    `embeddings`, float32, of the shape (dim,).

    Args:
        source: a built folder, `ORG/NAME` on the Hub, or a `datasets.Dataset` with the columns `conversations` and
            `image_embedding`, which you may have filtered, shuffled or concatenated.
        tokenize: tokenises conversations.
        config: "pretrain" or "instruction"; for a folder or a repository.
        revision: of the repository.
        noise: L2 norm of normal noise that is added to each embedding, drawn anew each time that a row is read; the
            sum is divided by its norm. `load_transfer(source).train_noise` is the recommended value. The numbers are
            torch's: `torch.manual_seed` repeats them.

    Raises:
        InputError: there is no such set, or it lacks a column. When an item is read: its conversation cannot be
            tokenised (`ConversationTokenizer`), or it has no embedding.
        RunError: the Hub cannot be reached.
    """

    def __init__(
        self,
        source: Rows | str | Path,
        tokenize: ConversationTokenizer,
        *,
        config: str = "pretrain",
        revision: str | None = None,
        noise: float = 0.0,
    ) -> None:
        rows = _loaded(source, config, revision, streaming=False)
        if not hasattr(rows, "__getitem__") or not hasattr(rows, "__len__"):
            raise InputError("these rows are a stream, which has no indices", "Use UnicornIterableDataset.")
        self._rows = rows.with_format("arrow")
        self._tokenize = tokenize
        self._noise = noise

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Item]:
        """Read several rows at once, which is faster; `DataLoader` calls this automatically."""
        return _items(self._rows[indices], self._tokenize, self._noise)


class UnicornIterableDataset(torch.utils.data.IterableDataset):  # type: ignore[misc]
    """A set as a stream, downloaded as it is read. Items are those of `UnicornDataset`.

    Each row comes once, with any number of `DataLoader` workers: they share the shards, or the rows if there are fewer
    shards than workers. After `datasets.distributed.split_dataset_by_node` the workers of a node share the node's rows.

    Args:
        source: a built folder, `ORG/NAME` on the Hub, or a `datasets.IterableDataset`, which you may have filtered or
            shuffled.
        tokenize: tokenises conversations.
        config: "pretrain" or "instruction"; for a folder or a repository.
        revision: of the repository.
        noise: see `UnicornDataset`.

    Raises:
        InputError, RunError: see `UnicornDataset`.
    """

    def __init__(
        self,
        source: Rows | str | Path,
        tokenize: ConversationTokenizer,
        *,
        config: str = "pretrain",
        revision: str | None = None,
        noise: float = 0.0,
    ) -> None:
        rows = _loaded(source, config, revision, streaming=True)
        if not hasattr(rows, "set_epoch"):
            raise InputError("these rows are not a stream", "Use UnicornDataset, or rows.to_iterable_dataset().")
        self._rows = rows.with_format("arrow")
        self._tokenize = tokenize
        self._noise = noise
        # In shared memory, for workers that persist over epochs.
        self._epoch = torch.tensor(rows.epoch).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Change the order of shuffled rows; it is the same for the same epoch."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Item]:
        rows = _of_this_worker(self._rows)
        rows.set_epoch(int(self._epoch))
        for table in _tables(rows):
            yield from _items(table, self._tokenize, self._noise)


def _tables(rows: Rows) -> Iterator[pa.Table]:
    with _reading("the set"):
        yield from rows.iter(_NUM_READ)


def _of_this_worker(rows: Rows) -> Rows:
    from datasets.distributed import split_dataset_by_node

    worker = torch.utils.data.get_worker_info()
    if worker is None:
        return rows
    if rows.num_shards >= worker.num_workers:
        return rows.shard(worker.num_workers, worker.id, contiguous=False)
    # Each worker then reads all rows and tokenises its share.
    return split_dataset_by_node(rows, worker.id, worker.num_workers)


def _items(table: pa.Table, tokenize: ConversationTokenizer, noise: float) -> list[Item]:
    names = table["id"].to_pylist() if "id" in table.column_names else list(range(len(table)))
    vectors = noisy(_vectors(table["image_embedding"], names), noise)
    (batch,) = table.select(["conversations"]).combine_chunks().to_batches()
    turns = fitting(batch, ["conversations"], "the set", nulls=True).column(0)
    conversations = tokenize(turns.to_pylist(), names)
    return list(map(as_item, conversations, vectors))


def _vectors(column: pa.ChunkedArray, names: Sequence[object]) -> torch.Tensor:
    """An array of shape (rows, dim), float32."""
    if column.null_count:
        missing = names[column.is_null().to_pylist().index(True)]
        raise InputError(f"row {missing} has no embedding", "Remove such rows, or see docs/loading.md.")
    kind, types = column.type, pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not (is_list and types.is_floating(kind.value_type)):
        raise InputError(f"the column image_embedding contains {kind}, not vectors")
    if len(pc.unique(pc.list_value_length(column))) > 1:
        raise InputError("the embeddings have different dimensions")
    numbers = pc.list_flatten(column).to_numpy()
    return torch.from_numpy(numbers.astype(np.float32).reshape(len(names), -1))


def noisy(vectors: torch.Tensor, noise: float) -> torch.Tensor:
    """Vectors (rows, dim) with normal noise of this L2 norm, scaled back to unit length; unchanged if it is 0."""
    if not noise:
        return vectors
    # Of n independent numbers of variance s²/n, the expected squared norm is s².
    drawn = torch.randn_like(vectors) * (noise / vectors.shape[1] ** 0.5)
    return torch.nn.functional.normalize(vectors + drawn, dim=1)


def _loaded(source: Rows | str | Path, config: str, revision: str | None, *, streaming: bool) -> Rows:
    end_quietly()
    rows = _found(source, config, revision, streaming) if isinstance(source, str | Path) else source
    names = getattr(rows, "column_names", None)
    if isinstance(names, dict):
        raise InputError(f"these are splits, not rows: {', '.join(names)}", 'Choose one: rows["train"].')
    if names is None:
        return rows
    if missing := [name for name in _COLUMNS[1:] if name not in names]:
        raise InputError(
            f"the set has no column {', '.join(missing)}",
            "The original release has no embeddings: see docs/loading.md for how to add them.",
        )
    return rows.select_columns([name for name in _COLUMNS if name in names])


@contextmanager
def _reading(source: object) -> Iterator[None]:
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetNotFoundError as error:
        raise InputError(f"there is no data set {source} on the Hub, or you have no access to it") from error
    except dataset_errors() as error:
        if failure := diagnose(error):
            raise RunError(f"{source}: {failure.message}", failure.advice) from error
        raise InputError(
            f"{source}: datasets cannot load it: {cause_of(error)}",
            "Check the set with `unicorn-hf validate`.",
        ) from error


def _found(source: str | Path, config: str, revision: str | None, streaming: bool) -> Rows:
    from datasets import load_dataset

    from unicorn_hf.builders.places import shards_of
    from unicorn_hf.hub import check_repo_id

    folder = Path(source).expanduser()
    # A stream downloads only these columns.
    options: dict[str, Any] = {"split": "train", "streaming": streaming, **({"columns": _COLUMNS} if streaming else {})}
    if folder.is_dir():
        names = shards_of(folder, config)
        if not names:
            raise InputError(
                f"{folder} has no rows of the config {config}",
                "Give the folder of a build; its configs are pretrain and instruction.",
            )
        # Not by the folder's name: `datasets` would open any path that the card names.
        with _reading(source):
            return load_dataset("parquet", data_files=[str(folder / name) for name in names], **options)
    try:
        check_repo_id(str(source))
    except InputError:
        raise InputError(f"{source} is neither a folder nor ORG/NAME on the Hub") from None
    check_data_files(str(source), revision)
    with _reading(source):
        return load_dataset(str(source), config, revision=revision, **options)
