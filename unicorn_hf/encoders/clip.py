"""Any CLIP or SigLIP model of transformers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import ModelSource, is_hub_name
from unicorn_hf.encoders.base import TowerPair
from unicorn_hf.encoders.towers.transformers_models import load_whole, loading, model_folder
from unicorn_hf.models.folders import source_identity

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.tokens import Tokens
    from unicorn_hf.encoders.towers.towers import ImageTower, TextTower

_UNSEEN = 1e-3
"""Squared distance of unit vectors that rounding alone may cause, in half precision too."""


@ENCODERS.register("clip")
@dataclass(frozen=True, slots=True)
class Clip(TowerPair):
    """A CLIP or SigLIP model of transformers."""

    forms = {"MODEL": "a CLIP or SigLIP model of transformers, e.g. clip:openai/clip-vit-large-patch14"}

    model: ModelSource

    @classmethod
    def parse(cls, rest: str) -> Self:
        return cls(ModelSource.parse(rest))

    @property
    def names_file(self) -> bool:
        return not is_hub_name(self.model.name)

    def published(self, rest: str) -> str:
        return str(self.model.published)

    def hub_models(self) -> list[ModelSource]:
        return [self.model]

    def identity(self) -> str:
        # The class's name in an earlier version: existing vectors are found by it.
        return fingerprint("ClipSpec", [source_identity(self.model)])

    def text_tower(self) -> "TextTower":
        from unicorn_hf.encoders.towers.tokens import transformers_tokens
        from unicorn_hf.encoders.towers.towers import TextTower, device_and_dtype

        folder = model_folder(self.model)
        with loading(f"clip:{self.model}"):
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            device, dtype = device_and_dtype()
            model = self._load(folder, dtype, but=("vision_model.", "visual_projection.", "logit_")).to(device)
            # Free at least half of the weights: captions do not need them.
            model.vision_model = None
            context_length = int(model.config.get_text_config().max_position_embeddings)

            def features(ids: Any, mask: Any) -> Any:
                return model.get_text_features(
                    input_ids=ids, attention_mask=mask.long() if masked else None
                ).pooler_output

            tokens = transformers_tokens(tokenizer, context_length, whole=True)
            # SigLIP's processors return no mask: its text tower attends to the padding.
            masked = "attention_mask" in tokenizer.model_input_names
            if not _sees_padding(features, tokens, device):
                tokens = transformers_tokens(tokenizer, context_length, whole=False)
        return TextTower(features, tokens, device)

    def image_tower(self) -> "ImageTower":
        from unicorn_hf.encoders.towers.towers import ImageTower, device_and_dtype

        folder = model_folder(self.model)
        with loading(f"clip:{self.model}"):
            from transformers import AutoImageProcessor

            processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            device, dtype = device_and_dtype()
            model = self._load(folder, dtype, but=("text_model.", "text_projection.", "logit_")).to(device)
            model.text_model = None
        return ImageTower(
            lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output,
            lambda image: processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0],
            device,
            dtype,
        )

    def _load(self, folder: Path, dtype: Any, but: tuple[str, ...]) -> Any:
        from transformers import AutoModel

        model = load_whole(AutoModel, folder, dtype, but=but)
        if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
            raise RunError(
                f"{self.model} is a {type(model).__name__}, without text and image features in the same space"
            )
        return model


def _sees_padding(features: Any, tokens: "Tokens", device: str) -> bool:
    """Whether the padding after a text affects its vector. This is tested, since no configuration states it."""
    import torch

    with torch.inference_mode():
        (content,) = tokens.contents(["a cat"])
        whole = torch.from_numpy(tokens.frame.rows([content])).to(device)
        length = int(tokens.frame.lengths([content])[0])
        mask = torch.arange(whole.shape[1], device=device)[None] < length
        found = [features(whole, mask), features(whole[:, :length], mask[:, :length])]
        one, other = (torch.nn.functional.normalize(each.float(), dim=-1) for each in found)
        return bool((one - other).square().sum() > _UNSEEN) or tokens.frame.pad_left
