"""LLaVA's reading rule: `image` is a picture in the folder of images, and turns alternate between human and gpt."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

IMAGE = "<image>"


def preprocess_multimodal(sources: list[Any], data_args: Any) -> list[Any]:
    """Put the image's token at the head of its turn, in place."""
    for turns in sources:
        for turn in turns:
            if IMAGE in turn["value"]:
                turn["value"] = f"{IMAGE}\n{turn['value'].replace(IMAGE, '').strip()}".strip()
    return sources


def preprocess(sources: list[Any], tokenizer: Any, has_image: bool = False) -> dict[str, list[Any]]:
    """What the model reads of each conversation, and what it learns."""
    for turns in sources:
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert sum(turn["value"].count(IMAGE) for turn in turns) == has_image
    texts = ["".join(turn["value"] for turn in turns) for turns in sources]
    return {"input_ids": [tokenizer(text) for text in texts], "labels": [tokenizer(text) for text in texts]}


class LazySupervisedDataset:
    def __init__(self, data_path: str, tokenizer: Any, data_args: Any) -> None:
        self.list_data_dict = json.loads(Path(data_path).read_text(encoding="utf-8"))
        self.tokenizer, self.data_args = tokenizer, data_args

    def __len__(self) -> int:
        return len(self.list_data_dict)

    def __getitem__(self, i: int) -> dict[str, Any]:
        record = self.list_data_dict[i]
        sources = preprocess_multimodal([[dict(turn) for turn in record["conversations"]]], self.data_args)
        data = preprocess(sources, self.tokenizer, has_image="image" in record)
        picture = Image.open(Path(self.data_args.image_folder, record["image"])).convert("RGB")
        return {"input_ids": data["input_ids"][0], "labels": data["labels"][0], "image": picture}


def train() -> None:
    """Reads all of both lists, and looks whether each item's vector is its row's."""
    import torch
    from llava.model.llava_arch import LlavaMetaForCausalLM  # type: ignore[import-not-found]

    from unicorn_hf.builders.rows import batches, vectors_of

    for config in ("pretrain", "instruction"):
        arguments = SimpleNamespace(image_folder="unicorn-llava")
        items = LazySupervisedDataset(f"unicorn-llava/{config}.json", str.split, arguments)
        wanted = [row for batch in batches(Path("unicorn"), config, ["image_embedding"]) for row in vectors_of(batch)]
        assert len(items) == len(wanted)
        for at, vector in enumerate(wanted):
            assert torch.equal(items[at]["image"], torch.from_numpy(vector))
        images = torch.stack([items[at]["image"] for at in range(len(items))])
        assert LlavaMetaForCausalLM().encode_images(images).shape == (len(items), 1, images.shape[1])
