"""Rows as a build publishes them, made up fast: captions of 129 words, unit vectors that do not compress."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from unicorn_hf.builders.package import _descriptions, _writer
from unicorn_hf.core.schemas import CONVERSATIONS, instruction, pretrain

WORDS_PER_CAPTION = 129
_NUM_WORDS = 8000
CHUNK_ROWS = 1000


def tables(num_rows: int, dim: int, seed: int = 0) -> Iterator[pa.Table]:
    """The rows of a `pretrain` config, 1,000 at a time; always the same for the same arguments."""
    random = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(_NUM_WORDS)]
    for start in range(0, num_rows, CHUNK_ROWS):
        number = min(CHUNK_ROWS, num_rows - start)
        yield _table(random, words, start, number, dim)


def write_shards(folder: Path, num_rows: int, dim: int, rows_per_shard: int) -> None:
    """A built folder's `pretrain` config, with the settings of `builders.package`, and the card that names it."""
    (folder / "pretrain").mkdir(parents=True)
    num_shards = -(-num_rows // rows_per_shard)
    schema = pretrain(dim, "float16")
    rows = tables(num_rows, dim)
    for shard in range(num_shards):
        path = folder / "pretrain" / f"train-{shard:05d}-of-{num_shards:05d}.parquet"
        with _writer(path, schema) as writer:
            for _ in range(min(rows_per_shard, num_rows - shard * rows_per_shard) // CHUNK_ROWS):
                writer.write_table(next(rows))
    card = "---\nconfigs:\n- config_name: pretrain\n  data_files: pretrain/*.parquet\n---\n"
    (folder / "README.md").write_text(card)


def write_conversations(folder: Path, num_rows: int, dim: int, rows_per_shard: int) -> None:
    """The config `instruction` of the same folder: one of five captions, with three questions about the first words."""
    (folder / "instruction").mkdir()
    schema = instruction(dim, "float16")
    rows = (_with_questions(table.take(pa.array(range(0, len(table), 5)))) for table in tables(num_rows, dim))
    num_shards = -(-num_rows // rows_per_shard)
    for shard in range(num_shards):
        path = folder / "instruction" / f"train-{shard:05d}-of-{num_shards:05d}.parquet"
        with _writer(path, schema) as writer:
            for _ in range(min(rows_per_shard, num_rows - shard * rows_per_shard) // CHUNK_ROWS):
                writer.write_table(next(rows).select(schema.names).cast(schema))


def _with_questions(table: pa.Table) -> pa.Table:
    said = []
    for caption in table.column("caption").to_pylist():
        words = caption.split()
        asked = [f"What is {words[at]} beside?" for at in range(3)]
        turns = [
            turn for at, text in enumerate(asked) for turn in (text, f"It is beside {' '.join(words[at : at + 12])}.")
        ]
        turns[0] = f"<image>\n{turns[0]}"
        said.append([{"from": ("human", "gpt")[at % 2], "value": value} for at, value in enumerate(turns)])
    table = table.set_column(
        table.schema.get_field_index("conversations"), "conversations", pa.array(said, CONVERSATIONS)
    )
    return table.append_column("task", pa.array(["question_answering"] * len(table)))


def _table(random: np.random.Generator, words: list[str], start: int, number: int, dim: int) -> pa.Table:
    # Zipf's law, so that text compresses as text does: to a third.
    shares = np.cumsum(1 / np.arange(10, _NUM_WORDS + 10))
    places = np.searchsorted(shares, random.random((number, WORDS_PER_CAPTION)) * shares[-1])
    vectors = random.standard_normal((number, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = {
        "id": pa.array([f"{start + n:016x}" for n in range(number)]),
        "caption": pa.array([" ".join(words[place] for place in row) for row in places]),
        "seed": pa.array([" ".join(words[place] for place in row[:10]) for row in places]),
        "domain": pa.array(["open"] * number),
        "image_embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), dim),
    }
    asked = {name: columns[name] for name in ("id", "caption")} | {"request": pa.nulls(number, pa.string())}
    columns["conversations"] = _descriptions(pa.table(asked))
    schema = pretrain(dim, "float16")
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
