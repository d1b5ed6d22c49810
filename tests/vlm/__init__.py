"""A tiny language model with random weights, the sets that it is trained on, and vectors."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.representations.test_moments import units
from tests.representations.test_transfers import fitted, statistics_of
from tests.torch.chat_templates import made
from unicorn_hf.representations.moments import DomainMoments
from unicorn_hf.representations.transfer_file import encoder_id, save_transfer
from unicorn_hf.vlm import UnicornForConditionalGeneration

SET = max((Path(__file__).parents[1] / "golden" / "published").iterdir())
"""A built set: 8 captions and 4 conversations, with vectors of 8 dimensions."""
DIM = 8
TEXTS, IMAGES = units(60, 20), units(40, 20, 1, cone=-0.3)
"""Vectors of the dimension of `tiny_clip`."""


def write_language_model(folder: Path) -> Path:
    """Llama with a tokenizer of a few hundred tokens, in float32."""
    torch.manual_seed(0)
    tokens = made("chatml")
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        # Larger than usual, so that all parts have an effect.
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def write_model(folder: Path, language_model: Path, encoder: str) -> Path:
    """A model of a set without image statistics, with a projector of random weights: the folder `model`."""
    (folder / "set").mkdir()
    save_transfer(
        folder / "set" / "transfer.safetensors",
        fitted("mean_shift", TEXTS, None, seed=3),
        statistics_of("mean_shift", TEXTS, None, [], seed=3),
        DomainMoments.of(TEXTS, ["birds"] * len(TEXTS)),
        encoder=encoder,
        encoder_id=encoder_id(encoder),
    )
    model = UnicornForConditionalGeneration.from_language_model(str(language_model), folder / "set")
    model.save_pretrained(folder / "model")
    return folder / "model"
