"""Chat templates in the forms that models publish, and tokenizers of the kinds that go with them, made here."""

from functools import cache
from typing import Any, NamedTuple


class Chat(NamedTuple):
    """A template and what it writes around an answer."""

    template: str
    lead: str
    """Between the generation prompt and the answer."""
    closer: str
    """What closes an answer."""
    pieces: bool = False
    """Whether its models have a tokenizer of SentencePiece; else one of bytes."""
    last_closer: str | None = None
    """What closes the last answer, where that is something else."""


def _chat(before_user: str, after_user: str, before_answer: str, after_answer: str, prompt: str, bos: str = "") -> str:
    """A template that writes each kind of turn in one way."""
    return (
        f"{bos}{{% for m in messages %}}{{% if m['role'] == 'user' %}}{before_user}{{{{ m['content'] }}}}{after_user}"
        f"{{% else %}}{before_answer}{{{{ m['content'] }}}}{after_answer}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )


_BOS, _EOS = "{{ bos_token }}", "{{ eos_token }}"
CHATS = {
    "chatml": Chat(
        _chat(
            "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n", "<|im_end|>\n", "<|im_start|>assistant\n"
        ),
        "",
        "<|im_end|>",
    ),
    "llama 2": Chat(_chat(f"{_BOS}[INST] ", " [/INST]", " ", f" {_EOS}", ""), " ", " </s>", True),
    "llama 3": Chat(
        _chat(
            *("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
            *("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
            *("<|start_header_id|>assistant<|end_header_id|>\n\n", _BOS),
        ),
        "",
        "<|eot_id|>",
    ),
    "mistral v1": Chat(_chat("[INST] ", " [/INST]", "", f"{_EOS} ", "", _BOS), "", "</s>", True),
    "mistral v3": Chat(_chat("[INST] ", "[/INST]", " ", _EOS, "", _BOS), " ", "</s>", True),
    "mistral tekken": Chat(_chat("[INST]", "[/INST]", "", _EOS, "", _BOS), "", "</s>"),
    "gemma": Chat(
        _chat(
            *("<start_of_turn>user\n", "<end_of_turn>\n", "<start_of_turn>model\n", "<end_of_turn>\n"),
            *("<start_of_turn>model\n", _BOS),
        ),
        "",
        "<end_of_turn>",
        True,
    ),
    "phi 3": Chat(
        _chat("<|user|>\n", "<|end|>\n", "<|assistant|>\n", "<|end|>\n", "<|assistant|>\n"), "", "<|end|>", True
    ),
    "phi 4": Chat(
        _chat(
            *("<|im_start|>user<|im_sep|>", "<|im_end|>", "<|im_start|>assistant<|im_sep|>", "<|im_end|>"),
            "<|im_start|>assistant<|im_sep|>",
        ),
        "",
        "<|im_end|>",
    ),
    "zephyr": Chat(
        _chat("<|user|>\n", f"{_EOS}\n", "<|assistant|>\n", f"{_EOS}\n", "<|assistant|>\n"), "", "</s>", True
    ),
    "vicuna": Chat(_chat("USER: ", " ", "ASSISTANT: ", _EOS, "ASSISTANT:", f"{_BOS}A chat. "), " ", "</s>", True),
    "deepseek 3": Chat(_chat("<|User|>", "", "<|Assistant|>", _EOS, "<|Assistant|>", _BOS), "", "</s>"),
    "deepseek r1, whose prompt opens a thought": Chat(
        _chat("<|User|>", "", "<|Assistant|>", _EOS, "<|Assistant|><think>\n", _BOS), "", "</s>"
    ),
    "qwen 3, an empty thought before the answer": Chat(
        _chat(
            *("<|im_start|>user\n", "<|im_end|>\n"),
            *("<|im_start|>assistant\n<think>\n\n</think>\n\n", "<|im_end|>\n", "<|im_start|>assistant\n"),
        ),
        "<think>\n\n</think>\n\n",
        "<|im_end|>",
    ),
    "glm 4, where the next turn closes an answer": Chat(
        _chat("<|user|>\n", "", "<|assistant|>\n", "", "<|assistant|>\n", "[gMASK]<sop>"),
        "",
        "<|user|>",
        last_closer="",
    ),
    "no generation prompt": Chat(_chat("<|user|>\n", "<|end|>\n", "<|assistant|>\n", "<|end|>\n", ""), "", "<|end|>"),
    "no end of a turn": Chat(_chat("User: ", "\n", "Assistant: ", "\n", "Assistant:"), " ", ""),
}
_SPECIAL = (
    "<unk> <s> </s> [INST] [/INST] <|im_start|> <|im_end|> <|im_sep|> <|start_header_id|> <|end_header_id|> <|eot_id|> "
    "<start_of_turn> <end_of_turn> <|user|> <|assistant|> <|end|> <|User|> <|Assistant|> <think> </think> [gMASK] <sop>"
).split()
_TEXT = [
    "What is it? A pear, 42 of 100; 漢字です. The number is C. Yes, it is 🍷",
    "USER ASSISTANT Assistant User model user",
]


@cache
def made(name: str) -> Any:
    """The tokenizer of a chat, with its template."""
    from transformers import PreTrainedTokenizerFast

    chat = CHATS[name]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_pieces() if chat.pieces else _bytes(), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = chat.template
    return tokenizer


def _bytes() -> Any:
    """Byte-level BPE, as GPT-2's, Llama 3's, Qwen's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_TEXT * 5, trainer)
    return tokenizer


def _pieces() -> Any:
    """SentencePiece's BPE as it comes to transformers: a space is ▁, one before each text, bytes for the rest."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    pieces = ["▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;?!\n漢字"]
    vocabulary = [*_SPECIAL[:1], *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "▁A", "▁Y", "▁T"]
    merges = [("▁", letter) for letter in "AYT"]
    model = models.BPE(
        {piece: at for at, piece in enumerate(vocabulary)}, merges, unk_token="<unk>", byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL[1:]])
    return tokenizer
