"""A set whose rows tell their numbers, as it is published."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unicorn_hf.core.schemas import instruction, pretrain

NUM_ROWS, NUM_SHARDS, DIM = 101, 3, 8
CARD = "---\nconfigs:\n" + "".join(
    f"- config_name: {config}\n  data_files: {config}/*.parquet\n" for config in ("pretrain", "instruction")
)


def row(number: int) -> dict[str, Any]:
    """A row whose vector tells its number."""
    turns = [("human", "<image>\nWhat number?"), ("gpt", f"The number {number}."), ("human", "Sure?"), ("gpt", "Yes.")]
    return {
        "id": f"row-{number}",
        "caption": f"The number {number}.",
        "conversations": [{"from": who, "value": value} for who, value in turns[: 4 if number % 3 else 2]],
        "image_embedding": np.full(DIM, number, dtype=np.float16),
        "seed": "number",
        "domain": "numbers",
        "task": "question_answering",
    }


def write(folder: Path) -> None:
    """A folder of both configs, in several shards."""
    for config, schema in (("pretrain", pretrain(DIM, "float16")), ("instruction", instruction(DIM, "float16"))):
        (folder / config).mkdir()
        for shard, numbers in enumerate(np.array_split(np.arange(NUM_ROWS), NUM_SHARDS)):
            rows = [{name: row(int(number))[name] for name in schema.names} for number in numbers]
            pq.write_table(
                pa.Table.from_pylist(rows, schema), folder / config / f"train-{shard}.parquet", row_group_size=10
            )
    (folder / "README.md").write_text(f"{CARD}---\n")
