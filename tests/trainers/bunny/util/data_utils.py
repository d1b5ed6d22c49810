"""The original trainer's reading rule (Unicorn, ReVision): a record needs `caption`; its `embed` is found by id."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

IMAGE = "<image>"


class LazySupervisedDataset:
    """Items of what reaches the model; `embed` is stacked by the collator, and so an array."""

    def __init__(self, data_path: Path, embeddings: Path, *, leaves_out: bool) -> None:
        records = json.loads(data_path.read_text(encoding="utf-8"))
        # ReVision's leaves out records without a caption; Unicorn's gives None for them.
        self.records = [record for record in records if "caption" in record or not leaves_out]
        self.embeddings: dict[str, np.ndarray[Any, Any]] = {}
        for file in embeddings.iterdir():
            if file.name.endswith(".pkl"):
                for item in pickle.loads(file.read_bytes()):  # noqa: S301
                    self.embeddings[str(item["id"])] = item["embed"]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, at: int) -> dict[str, Any] | None:
        record = self.records[at]
        if "caption" not in record:
            return None
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert IMAGE in turns[0]["value"]
        return {"text": [turn["value"] for turn in turns], "embed": self.embeddings[str(record["id"])]}
