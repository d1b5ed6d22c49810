"""Both towers of any CLIP or SigLIP model of transformers."""

from typing import Any

from unicorn_hf.core.errors import RunError
from unicorn_hf.encoders.clip import Clip
from unicorn_hf.encoders.towers.tokens import Tokens, transformers_tokens
from unicorn_hf.encoders.towers.towers import ImageTower, TextTower, device_and_dtype
from unicorn_hf.encoders.towers.transformers_models import load_whole, loading, model_folder

_UNSEEN = 1e-3
"""Squared distance of unit vectors that rounding alone may cause, in half precision too."""


def text_tower(spec: Clip) -> TextTower:
    """The model's text tower, without the rest.

    Raises:
        InputError: there is no such folder, or transformers is not installed.
        RunError: the model is unavailable or has no text side.
    """
    folder = model_folder(spec.model)
    with loading(f"clip:{spec.model}"):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        device, dtype = device_and_dtype()
        model = _load(spec, dtype, but=("vision_model.", "visual_projection.", "logit_")).to(device)
        # Free at least half of the weights: captions do not need them.
        model.vision_model = None
        context_length = int(model.config.get_text_config().max_position_embeddings)

        def features(ids: Any, mask: Any) -> Any:
            return model.get_text_features(input_ids=ids, attention_mask=mask.long() if masked else None).pooler_output

        tokens = transformers_tokens(tokenizer, context_length, whole=True)
        # SigLIP's processors return no mask: its text tower attends to the padding.
        masked = "attention_mask" in tokenizer.model_input_names
        if not _sees_padding(features, tokens, device):
            tokens = transformers_tokens(tokenizer, context_length, whole=False)
    return TextTower(features, tokens, device)


def image_tower(spec: Clip) -> ImageTower:
    """The model's image tower, with its own preprocessing.

    Raises:
        InputError: there is no such folder, or transformers is not installed.
        RunError: the model is unavailable or has no image side.
    """
    folder = model_folder(spec.model)
    with loading(f"clip:{spec.model}"):
        from transformers import AutoImageProcessor

        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        device, dtype = device_and_dtype()
        model = _load(spec, dtype, but=("text_model.", "text_projection.", "logit_")).to(device)
        model.text_model = None
    return ImageTower(
        lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output,
        lambda image: processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0],
        device,
        dtype,
    )


def _load(spec: Clip, dtype: Any, but: tuple[str, ...]) -> Any:
    from transformers import AutoModel

    model = load_whole(AutoModel, model_folder(spec.model), dtype, but=but)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise RunError(f"{spec.model} is a {type(model).__name__}, without text and image features in the same space")
    return model


def _sees_padding(features: Any, tokens: Tokens, device: str) -> bool:
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
