"""Configurations of models, as their repositories have them."""

from typing import Any

SEVEN: dict[str, Any] = {
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
"""The 7 B shape of the measurements."""
SMALL = SEVEN | {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "tie_word_embeddings": True,
}
"""SmolLM2-135M."""
QWEN_7B = SEVEN | {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}
QWEN_7B_AWQ = QWEN_7B | {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
QWEN_72B = QWEN_7B | {
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}
GEMMA_9B = SEVEN | {
    "model_type": "gemma2",
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 3584,
    "num_hidden_layers": 42,
    "num_attention_heads": 16,
    "head_dim": 256,
    "vocab_size": 256000,
    "tie_word_embeddings": True,
}
QWEN_30B_MIXTURE = SEVEN | {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "vocab_size": 151936,
}
MIXTRAL = SEVEN | {"num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000}
CLIP = {
    "model_type": "clip",
    "text_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
    },
}
OPEN_CLIP = {
    "model_cfg": {"text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12}}
}
