"""The Arrow schemas of the data that stages exchange. Every shard has one of them."""

from typing import Literal

import pyarrow as pa

CONVERSATIONS = pa.list_(pa.struct([pa.field("from", pa.string()), pa.field("value", pa.string())]))

MESSAGES = pa.list_(
    pa.struct(
        [
            pa.field("role", pa.string()),
            pa.field("content", pa.list_(pa.struct([pa.field("type", pa.string()), pa.field("text", pa.string())]))),
        ]
    )
)

SEEDS = pa.schema(
    [
        pa.field("seed", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
    ]
)

ANSWERS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("num_prompt_tokens", pa.int32(), nullable=False),
        pa.field("num_output_tokens", pa.int32(), nullable=False),
        pa.field("num_retries", pa.int32(), nullable=False),
        # The answer's share of the engine's working time.
        pa.field("seconds", pa.float64(), nullable=False),
        # Whether the engine counted the tokens, or they are estimated. Null, in shards of earlier versions: counted.
        pa.field("tokens_told", pa.bool_()),
    ]
)

CAPTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        # Equal for captions of the same words: finds exact duplicates without reading the text.
        pa.field("digest", pa.int64(), nullable=False),
        # Empty if an imported caption's seed is unknown.
        pa.field("seed", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        # The human turn in `pretrain` of an imported caption; null: a hash of the id selects a request.
        pa.field("request", pa.string()),
    ]
)

INSTRUCTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        # The caption's row in its shard.
        pa.field("row", pa.int32(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("conversations", CONVERSATIONS, nullable=False),
    ]
)

REJECTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)


MOMENTS = pa.schema(
    [
        pa.field("domain", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("mean", pa.list_(pa.float64()), nullable=False),
        # Sum of squared deviations from the mean, per dimension.
        pa.field("scatter", pa.list_(pa.float64()), nullable=False),
    ]
)

MEANS = pa.schema(
    [
        pa.field("count", pa.int64(), nullable=False),
        pa.field("mean", pa.list_(pa.float64()), nullable=False),
    ]
)

# The scatter matrix, row after row.
COVARIANCES = MEANS.append(pa.field("scatter", pa.list_(pa.float64()), nullable=False))


def embeddings(dim: int) -> pa.Schema:
    """The encoder's vectors before the transfer, in float32 to keep the transfer exact."""
    return pa.schema([pa.field("id", pa.string(), nullable=False), _vector("embedding", pa.float32(), dim)])


def pretrain(dim: int, dtype: Literal["float16", "float32"], *, messages: bool = False) -> pa.Schema:
    """The published `pretrain` config, with or without the column `messages`.

    A new column also belongs in `builders/package.py` (which writes it), `builders/rows.py`, the modules rows and
    identity of `builders/validate`, `cards/metadata.py`, `cards/card.py`, `pipeline/publish.py`, the exports,
    `interchange/reading.py`, `views/inspect.py`, `views/report/rows.py`, and docs/data.md.
    """
    return pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("caption", pa.string()),
            pa.field("conversations", CONVERSATIONS),
            *([pa.field("messages", MESSAGES)] if messages else []),
            _vector("image_embedding", pa.float16() if dtype == "float16" else pa.float32(), dim, nullable=True),
            pa.field("seed", pa.string()),
            pa.field("domain", pa.string()),
        ]
    )


def instruction(dim: int, dtype: Literal["float16", "float32"], *, messages: bool = False) -> pa.Schema:
    """The published `instruction` config: the columns of `pretrain` and the task. Its ids are caption ids."""
    return pretrain(dim, dtype, messages=messages).append(pa.field("task", pa.string()))


def _vector(name: str, dtype: pa.DataType, dim: int, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.list_(dtype, dim), nullable=nullable)
