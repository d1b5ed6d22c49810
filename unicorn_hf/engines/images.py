"""The image side of an encoder, by the encoder's name."""

from unicorn_hf.core.encoder_spec import OpenClipSpec
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import ImageEncoder
from unicorn_hf.engines.specs import EncoderChoice


def open_image_encoder(choice: EncoderChoice) -> ImageEncoder:
    """The image encoder that shares a space with a text encoder.

    Raises:
        InputError: the encoder has no image side.
        RunError: its weights cannot be had or do not fit.
    """
    if isinstance(choice.spec, OpenClipSpec):
        from unicorn_hf.engines.open_clip_images import OpenClipImageEncoder

        return OpenClipImageEncoder(choice.spec, choice.batch_size)
    raise InputError(
        f"the encoder {choice.name} has no image side",
        "open_clip:MODEL/PRETRAINED has one; --transfer mean_shift needs none.",
    )
