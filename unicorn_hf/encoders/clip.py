"""Any CLIP or SigLIP model of transformers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from unicorn_hf.core.choices import ENCODERS
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.model_source import ModelSource
from unicorn_hf.encoders.base import TowerPair
from unicorn_hf.encoders.towers.transformers_models import load_whole, model_folder
from unicorn_hf.models.folders import source_identity

if TYPE_CHECKING:
    from unicorn_hf.encoders.towers.tokens import Tokens
    from unicorn_hf.encoders.towers.towers import ImageFeatures, Preprocess, TextFeatures

_UNSEEN = 1e-3
"""Squared distance of unit vectors that rounding alone may cause, in half precision too."""


@ENCODERS.register("clip")
@dataclass(frozen=True, slots=True)
class Clip(TowerPair):
    """A CLIP or SigLIP model of transformers."""

    forms = {"MODEL": "a CLIP or SigLIP model of transformers, e.g. clip:openai/clip-vit-large-patch14"}

    model: ModelSource

    def __str__(self) -> str:
        return f"clip:{self.model}"

    @classmethod
    def parse(cls, rest: str) -> Self:
        return cls(ModelSource.parse(rest))

    def published(self, rest: str) -> str:
        return str(self.model.published)

    def hub_models(self) -> list[ModelSource]:
        return [self.model]

    def identity(self) -> str:
        # The class's name in an earlier version: existing vectors are found by it.
        return fingerprint("ClipSpec", [source_identity(self.model)])

    def load_text(self, device: str, dtype: Any) -> "tuple[TextFeatures, Tokens]":
        from unicorn_hf.encoders.towers.tokens import transformers_tokens

        tokenizer, model = self._loaded("AutoTokenizer", device, dtype, without=("vision_model", "visual_projection"))
        context_length = int(model.config.get_text_config().max_position_embeddings)
        # SigLIP's processors return no mask: its text tower attends to the padding.
        masked = "attention_mask" in tokenizer.model_input_names

        def features(ids: Any, mask: Any) -> Any:
            return model.get_text_features(input_ids=ids, attention_mask=mask.long() if masked else None).pooler_output

        tokens = transformers_tokens(tokenizer, context_length, whole=True)
        if not _sees_padding(features, tokens, device):
            tokens = transformers_tokens(tokenizer, context_length, whole=False)
        return features, tokens

    def load_images(self, device: str, dtype: Any) -> "tuple[ImageFeatures, Preprocess]":
        without = ("text_model", "text_projection")
        processor, model = self._loaded("AutoImageProcessor", device, dtype, without)
        return (
            lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output,
            lambda image: processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0],
        )

    def _loaded(self, reader: str, device: str, dtype: Any, without: tuple[str, str]) -> tuple[Any, Any]:
        """The tokenizer or image processor, and the model without a tower and its projection."""
        import transformers

        folder = model_folder(self.model)
        kind = getattr(transformers, reader)
        read = kind.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        but = (*(f"{part}." for part in without), "logit_")
        model = load_whole(transformers.AutoModel, folder, dtype, but=but)
        if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
            raise RunError(
                f"{self.model} is a {type(model).__name__}, without text and image features in the same space"
            )
        # Free at least half of the weights.
        setattr(model, without[0], None)
        return read, model.to(device)


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
