"""Each row once, the same by number and in turn, whatever the workers, nodes and processes."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, DistributedSampler

from tests.hub.fixtures import HubClient
from tests.torch import CHATML, tokenizer
from tests.torch.rows import DIM, NUM_ROWS, row
from unicorn_hf.core.errors import InputError
from unicorn_hf.torch import (
    IGNORE_INDEX,
    Collator,
    ConversationTokenizer,
    UnicornDataset,
    UnicornIterableDataset,
    place_images,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
AT_ONCE = {"max_buffer_input_shards": 1}  # with more, `datasets` sleeps five seconds after each pass
TOKENIZE = ConversationTokenizer(tokenizer(), image_tokens=2)
COLLATE = Collator(tokenizer())


@pytest.fixture(scope="session")
def data(folder: Path) -> UnicornDataset:
    return UnicornDataset(folder, TOKENIZE)


def stream(folder: Path, **options: Any) -> Any:
    return datasets.load_dataset(str(folder), "pretrain", split="train", streaming=True, **options)


def numbers(items: Any) -> list[int]:
    return [int(item["embeddings"][0]) for item in items]


def loaded(data: Any, **options: Any) -> list[int]:
    """The rows that a loader's batches hold."""
    batches = DataLoader(data, 4, collate_fn=COLLATE, **options)
    return [int(vector[0]) for batch in batches for vector in batch["embeddings"]]


def test_an_item(data: UnicornDataset) -> None:
    item = data[7]
    num_tokens = len(item["input_ids"])
    assert {name: (value.dtype, tuple(value.shape)) for name, value in item.items()} == {
        "input_ids": (torch.int64, (num_tokens,)),
        "labels": (torch.int64, (num_tokens,)),
        "attention_mask": (torch.int64, (num_tokens,)),
        "image_mask": (torch.bool, (num_tokens,)),
        "embeddings": (torch.float32, (DIM,)),
    }
    assert item["embeddings"].tolist() == [7] * DIM
    assert item["image_mask"].sum() == 2
    assert item["attention_mask"].all()
    answers = tokenizer().decode(item["labels"][item["labels"] != IGNORE_INDEX])
    assert answers == "The number 7.<|im_end|>Yes.<|im_end|>"


def test_noise_is_drawn_anew_and_of_the_stated_norm() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(50, 64, generator=torch.Generator().manual_seed(1)), dim=1)
    rows = datasets.Dataset.from_list(
        [row(number) | {"image_embedding": vector} for number, vector in enumerate(vectors.tolist())]
    )
    noisy = UnicornDataset(rows, TOKENIZE, noise=0.5)
    torch.manual_seed(7)
    first, second = noisy[0]["embeddings"], noisy[0]["embeddings"]
    assert not torch.equal(first, second)
    torch.manual_seed(7)
    torch.testing.assert_close(noisy[0]["embeddings"], first, rtol=0, atol=0)
    moved = torch.stack([noisy[number]["embeddings"] for number in range(len(vectors))])
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(len(vectors)))
    # Noise is nearly orthogonal to the vector, so that the cosine is that of the angle atan(0.5).
    assert (vectors * moved).sum(dim=1).mean().item() == pytest.approx(1 / (1 + 0.5**2) ** 0.5, abs=0.03)
    streamed = UnicornIterableDataset(rows.to_iterable_dataset(), TOKENIZE, noise=0.5)
    assert not torch.equal(next(iter(streamed))["embeddings"], vectors[0])


def test_every_row_by_number_is_the_row_in_turn(folder: Path, data: UnicornDataset) -> None:
    assert len(data) == NUM_ROWS
    streamed = list(UnicornIterableDataset(folder, TOKENIZE))
    assert numbers(streamed) == list(range(NUM_ROWS))
    for number, item in enumerate(streamed):
        for name, value in data[number].items():
            assert torch.equal(value, item[name])
    assert numbers(data.__getitems__([5, 3, 5, -1])) == [5, 3, 5, NUM_ROWS - 1]
    with pytest.raises(IndexError):
        data[NUM_ROWS]


@pytest.mark.parametrize("workers", [0, 1, 2, 3, 5])
def test_workers_give_each_row_once(folder: Path, data: UnicornDataset, workers: int) -> None:
    assert loaded(data, num_workers=workers) == list(range(NUM_ROWS))
    assert sorted(loaded(UnicornIterableDataset(folder, TOKENIZE), num_workers=workers)) == list(range(NUM_ROWS))


@pytest.mark.slow  # `test_pickled` shows the same of a copy, without processes that import torch.
def test_workers_started_anew_give_each_row_once(folder: Path, data: UnicornDataset) -> None:
    """With "spawn" all that a data set holds is pickled."""
    options = {"num_workers": 2, "multiprocessing_context": "spawn"}
    assert loaded(data, **options) == list(range(NUM_ROWS))
    assert sorted(loaded(UnicornIterableDataset(folder, TOKENIZE), **options)) == list(range(NUM_ROWS))


@pytest.mark.parametrize("replicas", [2, 3])
def test_a_distributed_sampler_shares_the_rows(data: UnicornDataset, replicas: int) -> None:
    parts = []
    for rank in range(replicas):
        sampler = DistributedSampler(data, replicas, rank, shuffle=True, drop_last=False)
        sampler.set_epoch(1)
        parts.append(loaded(data, sampler=sampler, num_workers=2))
    assert {number for part in parts for number in part} == set(range(NUM_ROWS))
    # The sampler repeats rows so that all have as many; nothing else is there twice.
    assert sum(map(len, parts)) == -(-NUM_ROWS // replicas) * replicas


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("workers", [0, 2, 4])
def test_nodes_share_a_stream(folder: Path, nodes: int, workers: int) -> None:
    parts = [
        loaded(
            UnicornIterableDataset(split_dataset_by_node(stream(folder), node, nodes), TOKENIZE), num_workers=workers
        )
        for node in range(nodes)
    ]
    assert sorted(number for part in parts for number in part) == list(range(NUM_ROWS))
    assert all(parts)


def test_nodes_share_rows(folder: Path) -> None:
    rows = datasets.load_dataset(str(folder), "pretrain", split="train")
    parts = [numbers(UnicornDataset(split_dataset_by_node(rows, node, 2), TOKENIZE)) for node in (0, 1)]
    assert sorted(parts[0] + parts[1]) == list(range(NUM_ROWS))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_has_its_own_order(folder: Path, workers: int) -> None:
    def orders() -> list[list[int]]:
        data = UnicornIterableDataset(stream(folder).shuffle(seed=3, buffer_size=20, **AT_ONCE), TOKENIZE)
        loader = DataLoader(data, 4, collate_fn=COLLATE, num_workers=workers, persistent_workers=workers > 0)
        found = []
        for epoch in (0, 1, 0):
            data.set_epoch(epoch)
            found.append([int(vector[0]) for batch in loader for vector in batch["embeddings"]])
        return found

    first, second, again = orders()
    assert sorted(first) == sorted(second) == list(range(NUM_ROWS))
    assert first == again != second
    assert orders() == [first, second, again]


SOURCES: dict[str, Callable[[Any], Any]] = {
    "filtered": lambda rows: rows.filter(lambda row: row["id"] != "row-5"),
    "mapped": lambda rows: rows.map(lambda row: {"caption": row["caption"].upper()}),
    "in torch's format": lambda rows: rows.with_format("torch"),
    "shuffled": lambda rows: rows.shuffle(seed=1, **AT_ONCE) if hasattr(rows, "set_epoch") else rows.shuffle(seed=1),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("streaming", [False, True])
def test_rows_that_were_worked_on(folder: Path, name: str, streaming: bool) -> None:
    rows = SOURCES[name](datasets.load_dataset(str(folder), "pretrain", split="train", streaming=streaming))
    data: Any = (UnicornIterableDataset if streaming else UnicornDataset)(rows, TOKENIZE)
    found = numbers(data)
    wanted = [int(value["id"].removeprefix("row-")) for value in rows]
    assert found == wanted
    assert set(range(NUM_ROWS)) - set(found) == ({5} if name == "filtered" else set())


def test_rows_in_memory_without_ids() -> None:
    rows = datasets.Dataset.from_list(
        [{name: row(number)[name] for name in ("conversations", "image_embedding")} for number in range(5)]
    )
    assert numbers(UnicornDataset(rows, TOKENIZE)) == list(range(5))
    assert numbers(UnicornIterableDataset(rows.to_iterable_dataset(), TOKENIZE)) == list(range(5))


def test_rows_that_do_not_fit_are_left_out_by_a_filter(folder: Path) -> None:
    short = ConversationTokenizer(tokenizer(CHATML), max_length=33)
    rows = datasets.load_dataset(str(folder), "pretrain", split="train")
    with pytest.raises(InputError, match="row row-0: the first answer begins"):
        UnicornDataset(rows, ConversationTokenizer(tokenizer(), max_length=20))[0]
    fitting = rows.filter(short.fits, input_columns="conversations")
    assert len(fitting) in range(1, NUM_ROWS + 1)
    for item in UnicornDataset(fitting, short):
        assert (item["labels"] != IGNORE_INDEX).any()
    none = stream(folder).filter(ConversationTokenizer(tokenizer(), max_length=20).fits, input_columns="conversations")
    assert list(UnicornIterableDataset(none, TOKENIZE)) == []


def test_pickled(folder: Path, data: UnicornDataset) -> None:
    again = pickle.loads(pickle.dumps(data))  # noqa: S301 - just written
    assert numbers(again) == list(range(NUM_ROWS))
    streaming = pickle.loads(pickle.dumps(UnicornIterableDataset(folder, TOKENIZE)))  # noqa: S301
    assert numbers(streaming) == list(range(NUM_ROWS))
    assert pickle.loads(pickle.dumps(COLLATE))([data[0]])["input_ids"].shape[0] == 1  # noqa: S301


def test_the_other_config(folder: Path) -> None:
    data = UnicornDataset(folder, TOKENIZE, config="instruction")
    assert numbers(data.__getitems__([0, 50])) == [0, 50]


@pytest.mark.slow
def test_a_published_set(folder: Path, hub_client: HubClient) -> None:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub_client.hub.add_repository("org/set", files)
    code = """
import datasets
datasets.config.USE_PARQUET_EXPORT = False  # it would ask a server that these tests have not got
from tests.torch import tokenizer
from unicorn_hf.core.errors import UnicornError
from unicorn_hf.torch import ConversationTokenizer, UnicornDataset, UnicornIterableDataset
tokenize = ConversationTokenizer(tokenizer())
data = UnicornDataset("org/set", tokenize, config="instruction", revision="main")
streamed = UnicornIterableDataset("org/set", tokenize)
print(len(data), int(data[7]["embeddings"][0]), len(list(streamed)))
try:
    UnicornDataset("org/none", tokenize)
except UnicornError as error:
    print(error.message)
"""
    done = hub_client.run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        f"{NUM_ROWS} 7 {NUM_ROWS}",
        "there is no data set org/none on the Hub, or you have no access to it",
    ]


def test_what_is_no_set(folder: Path, tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"id": ["a"], "conversations": [[]]})
    for source, told in (
        (tmp_path, "has no rows of the config pretrain"),
        ("nowhere", "nowhere is neither a folder nor ORG/NAME on the Hub"),
        (rows, "no column image_embedding"),
        (datasets.DatasetDict({"train": rows}), "these are splits, not rows: train"),
        (stream(folder), "these rows are a stream"),
    ):
        with pytest.raises(InputError, match=told):
            UnicornDataset(source, TOKENIZE)
    with pytest.raises(InputError, match="these rows are not a stream"):
        UnicornIterableDataset(datasets.load_dataset(str(folder), "pretrain", split="train"), TOKENIZE)


def test_a_row_without_an_embedding() -> None:
    rows = datasets.Dataset.from_list([row(0), {**row(1), "image_embedding": None}])
    data = UnicornDataset(rows, TOKENIZE)
    assert numbers([data[0]]) == [0]
    with pytest.raises(InputError, match="row row-1 has no embedding"):
        data[1]


def test_an_error_in_a_worker_says_what_is_wrong(folder: Path) -> None:
    data = UnicornDataset(folder, ConversationTokenizer(tokenizer(), max_length=20))
    with pytest.raises(InputError, match="row row-0: the first answer begins"):
        loaded(data, num_workers=1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch(data: UnicornDataset, side: str) -> None:
    items = data.__getitems__([0, 1])
    batch = Collator(tokenizer(), padding_side=side, pad_to_multiple_of=16)(items)
    length = batch["input_ids"].shape[1]
    assert length % 16 == 0
    assert batch["embeddings"].tolist() == [[0] * DIM, [1] * DIM]
    for place, item in enumerate(items):
        num_tokens = len(item["input_ids"])
        kept = slice(length - num_tokens, None) if side == "left" else slice(num_tokens)
        for name in ("input_ids", "labels", "attention_mask", "image_mask"):
            assert torch.equal(batch[name][place, kept], item[name])
        padded = batch["attention_mask"][place] == 0
        assert padded.sum() == length - num_tokens
        assert (batch["labels"][place][padded] == IGNORE_INDEX).all()
        assert not batch["image_mask"][place][padded].any()
        assert (batch["input_ids"][place][padded] == tokenizer().pad_token_id).all()


def test_images_take_their_places(data: UnicornDataset) -> None:
    batch = COLLATE(data.__getitems__([0, 1, 2]))
    mask = batch["image_mask"]
    words = torch.randn(*mask.shape, 4, dtype=torch.bfloat16, requires_grad=True)
    one = torch.randn(3, 4, requires_grad=True)
    same = place_images(words, mask, one)
    assert same.dtype == torch.bfloat16
    assert torch.equal(same[~mask], words[~mask])
    assert torch.equal(same[mask].view(3, 2, 4), one.to(torch.bfloat16)[:, None].expand(3, 2, 4))
    same.float().sum().backward()
    assert (one.grad == 2).all()
    assert (words.grad[mask] == 0).all() and (words.grad[~mask] == 1).all()
    several = torch.randn(3, 2, 4)
    assert torch.equal(place_images(words.float(), mask, several)[mask].view(3, 2, 4), several)
    for wrong in (torch.randn(3, 5), torch.randn(2, 4), torch.randn(3, 1, 4)):
        with pytest.raises(InputError, match="but must have"):
            place_images(words, mask, wrong)
