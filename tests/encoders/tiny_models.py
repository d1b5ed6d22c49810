"""Small models of transformers with random weights, as folders: whole, but for their size."""

from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
LLAMA_SPECIALS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def tiny_clip(folder: Path) -> CLIPModel:
    theirs = SimpleTokenizer()
    vocab = {name.replace("_of_", "of").replace("<", "<|").replace(">", "|>") if "_of_text>" in name else name: number
             for name, number in theirs.encoder.items()}  # fmt: skip
    tokenizer = CLIPTokenizer(vocab=vocab, merges=sorted(theirs.bpe_ranks, key=theirs.bpe_ranks.__getitem__))
    tokenizer.save_pretrained(folder)
    text = TEXT | {
        "vocab_size": len(vocab),
        "max_position_embeddings": 24,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=20)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return _saved(CLIPModel(config), folder)


def tiny_siglip(folder: Path) -> SiglipModel:
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(["<pad>", "</s>", *BYTES])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", model_input_names=["input_ids"]
    ).save_pretrained(folder)
    text = TEXT | {"vocab_size": 2 + len(BYTES), "max_position_embeddings": 24}
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return _saved(SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)), folder)


def tiny_llama(folder: Path) -> LlamaModel:
    """With names and special tokens of Llama 3, grouped queries and a width of its own of the heads."""
    names = [*BYTES, *LLAMA_SPECIALS]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        "<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", names.index("<|begin_of_text|>"))]
    )
    tokenizer.add_special_tokens(LLAMA_SPECIALS)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_theta=500_000.0,
        max_position_embeddings=600,
    )
    return _saved(LlamaModel(config), folder)


def _saved(model: Any, folder: Path) -> Any:
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        # Larger than they begin with, so that all parts have an effect; norms keep to 1.
        spread = torch.randn(weight.shape, generator=generator) * (0.3 if weight.ndim > 1 else 0.1)
        weight.data = spread + (1 if weight.ndim == 1 and weight.data.mean() > 0.5 else 0)
    model.save_pretrained(folder)
    return model.eval()
