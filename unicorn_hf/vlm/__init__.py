"""A small vision-language model of a set: a causal language model behind a projector for the vectors of images.

>>> from unicorn_hf.vlm import UnicornForConditionalGeneration
>>> model = UnicornForConditionalGeneration.from_pretrained("model")  # doctest: +SKIP
>>> model.answer([picture], ["What is this?"], max_new_tokens=40)  # doctest: +SKIP

It is trained on the batches of `unicorn_hf.torch`; see docs/training.md.
"""

from transformers import AutoConfig, AutoModelForImageTextToText

# Before transformers: it says what to install if there is no PyTorch.
import unicorn_hf.torch  # noqa: F401  isort: skip
from unicorn_hf.vlm.model import Projector, UnicornConfig, UnicornForConditionalGeneration

AutoConfig.register(UnicornConfig.model_type, UnicornConfig, exist_ok=True)
AutoModelForImageTextToText.register(UnicornConfig, UnicornForConditionalGeneration, exist_ok=True)

__all__ = ["Projector", "UnicornConfig", "UnicornForConditionalGeneration"]
