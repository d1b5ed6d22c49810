"""The format of LLaMA-Factory."""

import json
from collections.abc import Mapping
from pathlib import Path

from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.interchange.exports import BuiltSet
from unicorn_hf.interchange.exports.llava import Llava

_FORM = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "images": "images"},
    "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
}
"""LLaMA-Factory's description of a file; without it, LLaMA-Factory ignores the images."""


@EXPORTS.register("sharegpt")
class ShareGpt(Llava):
    """JSON lists and safetensors, for LLaMA-Factory.

    Like `llava`, with a list `images` instead of `image`, and a `dataset_info.json` that names both files.
    """

    def write(self, data: BuiltSet, out: Path) -> None:
        super().write(data, out)
        described = {f"unicorn_{name}": {"file_name": f"{name}.json", **_FORM} for name in ("pretrain", "instruction")}
        (out / "dataset_info.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")

    def image(self, place: str) -> Mapping[str, object]:
        return {"images": [place]}
