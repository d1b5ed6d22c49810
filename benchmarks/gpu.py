"""`unicorn-hf build` over plain `LLM.generate` on one GPU: how much of the engine's rate Stage 1 keeps.

    python benchmarks/gpu.py [--num 8192] [--max-tokens 80] [--pairs 1] [--models 7b small]

Compared, one after another, each with the card to itself, with the same model, engine settings, prompts, sampling and
seeds:

- plain: one `LLM.generate` call over all prompts, templated before, in a process of its own;
- ours: the command `unicorn-hf build`, with Dask-CUDA and the engine beside its worker, from the moment the engine
  is ready (as the build's log says) to the last partition's record: prompts made, asked, answers stored and filtered.

Models: `small` is the demonstration's SmolLM2-135M; `7b` has the shape of a 7 B model, weights that are all zero (a
sparse file), and the demonstration's tokenizer: nearly each answer has `--max-tokens` tokens; `tiny` is made like it,
for a rehearsal. No network is needed, once the demonstration's packages are installed. Told are tokens a second of
both, and the ratio, which is to be 0.95 at least. Answers that are cut are no captions: the build ends with an error
when all seeds were asked, as it must. `scripts/gpu_day.sh` runs this with a time limit; its option `--rehearse` runs it
without a GPU.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml
from stage1 import messages_of, plain_start, requests_of, varied

from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.generation import Request
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.models.demo_models import cache_folder, demo_llm
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.gpus import visible_gpus
from unicorn_hf.runtime.journal import LOG
from unicorn_hf.runtime.machine import cpu_count, machine
from unicorn_hf.seeds.step import prepare_seeds

WANTED = 0.95
SMALL = "smollm2-135m-instruct"
SHAPES = {
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "tiny": {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
    },
}


@dataclass(frozen=True)
class Measured:
    seconds: float
    num_answers: int
    num_tokens: int

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.seconds

    def __str__(self) -> str:
        rate = f"{self.tokens_per_s:,.0f} tokens/s"
        return f"{rate} ({self.num_answers:,} answers, {self.num_tokens:,} tokens, {self.seconds:.1f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=8192, help="prompts")
    parser.add_argument("--max-tokens", type=int, default=80)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--models", nargs="+", choices=[*SHAPES, "small"], default=["7b", "small"])
    parser.add_argument("--max-num-seqs", type=int, default=512)
    parser.add_argument("--partition-rows", type=int, default=512)
    options = parser.parse_args()
    if found := visible_gpus():
        # Also keeps vLLM's compiled code valid: its key may contain this variable.
        os.environ["CUDA_VISIBLE_DEVICES"] = found[0]
    print(f"{machine()}\n{options.num:,} prompts, at most {options.max_tokens} tokens each\n", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for model in options.models:
            compare(model, Path(name) / model, options)


def compare(model: str, folder: Path, options: argparse.Namespace) -> None:
    folder.mkdir()
    recipe = recipe_of(folder, zeros(model) if model in SHAPES else demo_llm(SMALL), options)
    generator = resolve_generator(recipe.engine)
    requests = asked(recipe, generator, folder)
    ratios = []
    for pair in range(options.pairs):
        reference = plain(recipe, generator, requests)
        print(f"{model}, plain: {reference}", flush=True)
        mine = ours(recipe, folder / f"set-{pair}")
        ratios.append(mine.tokens_per_s / reference.tokens_per_s)
        print(f"{model}, ours: {mine}, ratio {ratios[-1]:.3f}", flush=True)
        assert reference.num_answers == mine.num_answers == options.num, (reference, mine)
    print(f"\n{model}: median ratio {statistics.median(ratios):.3f}, wanted {WANTED}")


def recipe_of(folder: Path, model: Path, options: argparse.Namespace) -> Recipe:
    (folder / "seeds.txt").write_text("\n".join(varied(options.num)))
    described = {
        "partition_rows": options.partition_rows,
        "seeds": {"sources": [{"kind": "file", "path": str(folder / "seeds.txt")}]},
        "engine": {
            "kind": "vllm",
            "model": str(model),
            "dtype": "bfloat16",
            "max_model_len": 1024,
            "max_num_seqs": options.max_num_seqs,
        },
        "captions": {
            "num": options.num,
            "captions_per_seed": 1,
            "max_rejected": 1.0,
            "sampling": {"temperature": 0.7, "max_tokens": options.max_tokens},
        },
        "instructions": {"num": 0},
        "representations": {"encoder": "hashing:8"},
        "cluster": {"workers": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(described))
    return Recipe.model_validate(described)


def zeros(name: str) -> Path:
    """A model of the shape, all zero: each token of the vocabulary is as likely as any other.

    Its folder is always the same: the key of vLLM's compiled code contains it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = cache_folder() / f"zeros-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(demo_llm(SMALL), folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = AutoConfig.from_pretrained(folder)
    config.update(SHAPES[name] | {"tie_word_embeddings": False})
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {
            name: list(tensor.shape) for name, tensor in AutoModelForCausalLM.from_config(config).state_dict().items()
        }
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * int(torch.tensor(shape).prod())
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + end)
    return folder


def asked(recipe: Recipe, generator: GeneratorSpec, folder: Path) -> list[Request]:
    """What Stage 1 asks."""
    shards, _ = prepare_seeds(recipe, folder / "seeds")
    return requests_of(recipe, shards, folder)


# -- Plain ------------------------------------------------------------------------------------------------------------


def plain(recipe: Recipe, generator: GeneratorSpec, requests: Sequence[Request]) -> Measured:
    """In a process that ends, and gives the card back."""
    os.environ.update(generator.environment(cpu_count()))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(plain_start, recipe.engine, generator.model).result()
        return process.submit(plain_generate, requests).result()


def plain_generate(requests: Sequence[Request]) -> Measured:
    import stage1

    llm = stage1._llm
    tokenizer = llm.get_tokenizer()
    prompts = [
        tokenizer.apply_chat_template(messages_of(request), tokenize=False, add_generation_prompt=True)
        for request in requests
    ]
    sampling = [stage1.sampling_params(request) for request in requests]
    started = time.monotonic()
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    seconds = time.monotonic() - started
    measured = Measured(seconds, len(outputs), sum(len(output.outputs[0].token_ids) for output in outputs))
    llm.llm_engine.engine_core.shutdown()
    return measured


# -- Ours -------------------------------------------------------------------------------------------------------------


def ours(recipe: Recipe, out: Path) -> Measured:
    where = "cuda" if visible_gpus() else "local"
    command = [sys.executable, "-m", "unicorn_hf", "build", str(out.parent / "recipe.yaml"), "--out", str(out)]
    done = subprocess.run([*command, "--cluster", where], capture_output=True, text=True)
    if done.returncode and "captions are kept" not in done.stderr:
        raise SystemExit(done.stderr)
    work = out.with_name(f"{out.name}.work")
    lines = [json.loads(line) for line in (work / LOG).read_text().splitlines()]
    ready = next(line for line in lines if line["event"] == "engine_built")
    ended = max(record.stat().st_mtime for record in work.glob("captions-*/*.json"))
    seconds = ended - datetime.fromisoformat(ready["time"]).timestamp()
    answers = [answer for path in (work / "answers").iterdir() for _, answer in AnswerStore(path).all()]
    return Measured(seconds, len(answers), sum(answer.num_output_tokens for answer in answers))


if __name__ == "__main__":
    main()
