"""LLaMA-Factory's way from `dataset_info.json` to an example: which records are left out as broken."""

import json
from pathlib import Path
from typing import Any

import datasets


def examples(folder: Path, name: str) -> list[dict[str, Any]]:
    """What reaches the template, of a set in `dataset_info.json`; a broken record has no prompt."""
    described = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))[name]
    assert described["formatting"] == "sharegpt"
    rows = datasets.load_dataset("json", data_files=str(folder / described["file_name"]), split="train")
    # Once `columns` or `tags` are there, those that they do not name are none.
    columns, tags = described["columns"], described["tags"]
    return [_example(row, columns, tags) for row in rows]


def _example(row: dict[str, Any], columns: dict[str, str], tags: dict[str, str]) -> dict[str, Any]:
    turns = row[columns["messages"]]
    senders = [turn[tags["role_tag"]] for turn in turns]
    wanted = [tags["user_tag"], tags["assistant_tag"]] * (len(turns) // 2)
    texts = [turn[tags["content_tag"]] for turn in turns] if senders == wanted else []
    images = row[columns["images"]] if "images" in columns else None
    return {"prompt": texts[:-1], "response": texts[-1:], "images": images}
