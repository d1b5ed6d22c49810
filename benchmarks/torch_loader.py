"""Items/s of `unicorn_hf.torch` with and without loader workers, against `datasets` alone in torch format.

    python benchmarks/torch_loader.py [--rows 10000] [--items 2000] [--repeats 3]

`datasets` gives a row's text and its vector as a tensor; ours gives what a training step takes: the conversation in the
model's chat template, tokenised and labelled. "Tokenised alone" is the same template and tokenizer called on the same
conversations, with no data set, no labels and no batches: what cannot be saved. Shuffled batches of 32; best of the
repeats, which take turns. Needs the demonstration model's tokenizer.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
from synthetic import CHUNK_ROWS, write_shards
from torch.utils.data import DataLoader, Sampler
from transformers import AutoTokenizer

from unicorn_hf.core.messages import ROLES
from unicorn_hf.models.demo_models import demo_llm
from unicorn_hf.torch import Collator, ConversationTokenizer, UnicornDataset, UnicornIterableDataset

BATCH = 32
WORKERS = (0, 2)


class Shuffled(Sampler[int]):
    """The same rows in the same order for all."""

    def __init__(self, num_rows: int, num_items: int) -> None:
        import numpy as np

        self._places = np.random.default_rng(0).permutation(num_rows)[:num_items].tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.rows % CHUNK_ROWS:
        parser.error(f"--rows must be a multiple of {CHUNK_ROWS}")
    # The workers are the parallelism; the same for all ways.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder) / "set", arguments.rows, arguments.dim, rows_per_shard=arguments.rows // 2)
        rows = datasets.load_dataset(f"{folder}/set", "pretrain", split="train", cache_dir=f"{folder}/cache")
        show(measured(ways(rows, arguments.items), arguments.items, arguments.repeats), arguments)


def ways(rows: Any, num_items: int) -> dict[str, Callable[[], object]]:
    tokenizer = AutoTokenizer.from_pretrained(demo_llm("smollm2-135m-instruct"))
    tokenize = ConversationTokenizer(tokenizer, image_tokens=4)
    wanted = rows.select_columns(["conversations", "image_embedding"])
    plain = wanted.with_format("torch", columns=["image_embedding"], output_all_columns=True)
    data = UnicornDataset(rows, tokenize)
    stream = UnicornIterableDataset(rows.select(range(num_items)).to_iterable_dataset(num_shards=2), tokenize)
    order, collate = Shuffled(len(rows), num_items), Collator(tokenizer)
    conversations = rows.select(list(order))["conversations"][:]
    found: dict[str, Callable[[], object]] = {}
    for workers in WORKERS:
        options: dict[str, Any] = {"batch_size": BATCH, "num_workers": workers}
        found[f"datasets, {workers} workers"] = reader(plain, sampler=order, collate_fn=list, **options)
        found[f"ours, {workers} workers"] = reader(data, sampler=order, collate_fn=collate, **options)
        found[f"ours, streaming, {workers} workers"] = reader(stream, collate_fn=collate, **options)
    found["tokenised alone"] = lambda: [
        tokenised(tokenizer, conversations[start : start + BATCH]) for start in range(0, num_items, BATCH)
    ]
    return found


def reader(data: Any, **options: Any) -> Callable[[], object]:
    return lambda: [None for _ in DataLoader(data, **options)]


def tokenised(tokenizer: Any, conversations: list[Any]) -> Any:
    messages = [
        [{"role": ROLES[turn["from"]], "content": turn["value"]} for turn in conversation]
        for conversation in conversations
    ]
    texts = tokenizer.apply_chat_template(messages, tokenize=False)
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def measured(ways: dict[str, Callable[[], object]], num_items: int, repeats: int) -> dict[str, float]:
    """Items a second, the best of the repeats."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            best[name] = max(best[name], num_items / (time.perf_counter() - start))
    return best


def show(rates: dict[str, float], arguments: argparse.Namespace) -> None:
    print(f"{arguments.items:,} of {arguments.rows:,} rows, {arguments.dim} dimensions\n")
    print("| | items/s | times `datasets` with as many workers | times tokenised alone |\n|---|--:|--:|--:|")
    for name, rate in rates.items():
        *_, workers = name.split(", ")
        reference = rates.get(f"datasets, {workers}")
        times = f"{rate / reference:.2f}" if reference else ""
        print(f"| {name} | {rate:,.0f} | {times} | {rate / rates['tokenised alone']:.2f} |")


if __name__ == "__main__":
    main()
