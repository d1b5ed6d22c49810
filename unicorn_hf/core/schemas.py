"""The Arrow schemas of the data that stages exchange. Every shard has one of them."""

from typing import Literal

import pyarrow as pa

_TEXT = pa.string()
_VECTOR = pa.list_(pa.float64())


def required(**types: pa.DataType) -> pa.Schema:
    """A schema of columns without nulls."""
    return pa.schema([pa.field(name, dtype, nullable=False) for name, dtype in types.items()])


CONVERSATIONS = pa.list_(pa.struct({"from": _TEXT, "value": _TEXT}))
MESSAGES = pa.list_(pa.struct({"role": _TEXT, "content": pa.list_(pa.struct({"type": _TEXT, "text": _TEXT}))}))

SEEDS = required(seed=_TEXT, source=_TEXT, domain=_TEXT)

ANSWERS = required(
    key=_TEXT,
    text=_TEXT,
    finish_reason=_TEXT,
    num_prompt_tokens=pa.int32(),
    num_output_tokens=pa.int32(),
    num_retries=pa.int32(),
    # The answer's share of the engine's working time.
    seconds=pa.float64(),
    # Whether the engine counted the tokens, or they are estimated. Null, in shards of earlier versions: counted.
).append(pa.field("tokens_told", pa.bool_()))

CAPTIONS = required(
    id=_TEXT,
    caption=_TEXT,
    # Equal for captions of the same words: finds exact duplicates without reading the text.
    digest=pa.int64(),
    # Empty if an imported caption's seed is unknown.
    seed=_TEXT,
    source=_TEXT,
    domain=_TEXT,
    # The human turn in `pretrain` of an imported caption; null: a hash of the id selects a request.
).append(pa.field("request", _TEXT))

# `row` is the caption's row in its shard.
INSTRUCTIONS = required(id=_TEXT, row=pa.int32(), task=_TEXT, conversations=CONVERSATIONS)

REJECTIONS = required(id=_TEXT, stage=_TEXT, reason=_TEXT, detail=_TEXT, subject=_TEXT, raw=_TEXT)

# `scatter` is the sum of squared deviations from the mean, per dimension.
MOMENTS = required(domain=_TEXT, count=pa.int64(), mean=_VECTOR, scatter=_VECTOR)

# Arrays by name: a statistic for a transfer, or what fitting it made.
TENSORS = required(name=_TEXT, dtype=_TEXT, shape=pa.list_(pa.int64()), numbers=pa.large_binary())


def embeddings(dim: int) -> pa.Schema:
    """The encoder's vectors before the transfer, in float32 to keep the transfer exact."""
    return required(id=_TEXT, embedding=pa.list_(pa.float32(), dim))


def pretrain(dim: int, dtype: Literal["float16", "float32"], *, messages: bool = False) -> pa.Schema:
    """The published `pretrain` config, with or without the column `messages`.

    A new column also belongs in `builders/package.py` (which writes it), `builders/rows.py`, the modules rows and
    identity of `builders/validate`, `cards/metadata.py`, `cards/card.py`, `pipeline/publish.py`, the exports,
    `interchange/reading.py`, `views/inspect.py`, `views/report/rows.py`, and docs/data.md.
    """
    return pa.schema(
        {
            "id": _TEXT,
            "caption": _TEXT,
            "conversations": CONVERSATIONS,
            **({"messages": MESSAGES} if messages else {}),
            "image_embedding": pa.list_(pa.float16() if dtype == "float16" else pa.float32(), dim),
            "seed": _TEXT,
            "domain": _TEXT,
        }
    )


def instruction(dim: int, dtype: Literal["float16", "float32"], *, messages: bool = False) -> pa.Schema:
    """The published `instruction` config: the columns of `pretrain` and the task. Its ids are caption ids."""
    return pretrain(dim, dtype, messages=messages).append(pa.field("task", _TEXT))
