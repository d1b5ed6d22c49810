"""LLM2CLIP, the paper's encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from unicorn_hf.core.checkup import Finding, Machine
from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import ModelSource, is_hub_name
from unicorn_hf.encoders.base import TowerPair

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.towers import ImageTower, TextTower

LLM = ModelSource("microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned")
_NUM_BYTES = 20 * 2**30
"""GPU memory for 8 billion parameters in bfloat16, with the adapter and a small batch."""


@ENCODERS.register("llm2clip")
@dataclass(frozen=True, slots=True)
class Llm2Clip(TowerPair):
    """LLM2CLIP: a language model as the text side of a CLIP."""

    forms = {
        "CLIP": "e.g. llm2clip:microsoft/LLM2CLIP-Openai-L-14-336, with its caption-tuned Llama",
        "CLIP+LLM": "the same with another language model",
    }

    clip: ModelSource
    """The model with the vision tower and the text adapter."""
    llm: ModelSource
    """The language model."""

    @classmethod
    def parse(cls, rest: str) -> Self:
        clip, plus, llm = rest.partition("+")
        return cls(ModelSource.parse(clip), ModelSource.parse(llm) if plus else LLM)

    @property
    def names_file(self) -> bool:
        return not (is_hub_name(self.clip.name) and is_hub_name(self.llm.name))

    def published(self, rest: str) -> str:
        if not (self.clip.is_folder or self.llm.is_folder):
            return rest
        return f"{self.clip.published}+{self.llm.published}"

    def hub_models(self) -> list[ModelSource]:
        return [self.clip, self.llm]

    def check_machine(self, machine: Machine) -> Iterator[Finding]:
        # A GPU of unknown size counts as large enough.
        memory = max((num_bytes or _NUM_BYTES for num_bytes in machine.gpus), default=0)
        if machine.runs_workers and memory < _NUM_BYTES:
            message = (
                "the recipe's encoder LLM2CLIP has 8 billion parameters and needs a GPU with"
                f" {_NUM_BYTES / 2**30:,.1f} GiB; this machine has none"
            )
            fix = "Use another encoder (--encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k), or another machine"
            yield Finding(severity="warning", message=message, fix=fix)

    def identity(self) -> str:
        from unicorn_hf.models.folders import source_identity

        # The class's name in an earlier version: existing vectors are found by it.
        return fingerprint("Llm2ClipSpec", [source_identity(source) for source in (self.clip, self.llm)])

    def text_tower(self) -> "TextTower":
        from unicorn_hf.encoders.towers.llm2clip import text_tower

        return text_tower(self)

    def image_tower(self) -> "ImageTower":
        from unicorn_hf.encoders.towers.llm2clip import image_tower

        return image_tower(self)
