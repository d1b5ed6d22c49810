"""Trains a projector in front of a frozen language model on a set's rows, then describes a real picture with it.

    python examples/train_projector.py --set unicorn --steps 24

`make demo` builds `unicorn`; ORG/NAME on the Hub works too. With the demonstration's small models, a step takes two or
three seconds on two cores. The example shows the way from rows to a model that sees a picture; so few rows and steps
teach it next to nothing.

The projector is two linear layers with a GELU between them, as in LLaVA: it maps an embedding to one vector of the
language model for each position of the image. Only the projector is trained; it is saved as safetensors.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from huggingface_hub import hf_hub_download
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup
from transformers.utils import logging

from unicorn_hf import UnicornError, load_transfer
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.model_source import DEMO
from unicorn_hf.models.demo_models import demo_llm
from unicorn_hf.representations.pictures import PictureSource
from unicorn_hf.torch import Collator, ConversationTokenizer, UnicornDataset, place_images

WARM_UP_STEPS = 2
PICTURES = Path(__file__).resolve().parents[1] / "tests" / "emoji"
QUESTION = "<image>\nDescribe what can be seen here in detail."


def main() -> None:
    arguments = parsed()
    torch.manual_seed(arguments.seed)
    llm, tokenizer = language_model(arguments.llm)
    tokenize = ConversationTokenizer(tokenizer, image_tokens=arguments.image_tokens, max_length=arguments.max_length)
    try:
        rows = load_dataset(arguments.set, arguments.config, split="train")
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot load the set {arguments.set}: {error}\n`make demo` builds one in the folder unicorn.")
    fitting = rows.filter(tokenize.fits, input_columns="conversations")
    data = UnicornDataset(fitting.select(range(min(arguments.rows, len(fitting)))), tokenize)
    if len(data) < arguments.batch_size:
        sys.exit(f"{len(data)} rows of {arguments.max_length} tokens are less than a batch: try a larger --max-length.")
    print(
        f"{len(rows):,} rows, of which {len(fitting):,} fit into {arguments.max_length} tokens; {len(data):,} are used"
    )
    projector = Projector(len(data[0]["embeddings"]), llm.config.hidden_size, arguments.image_tokens)
    losses = train(projector, llm, data, Collator(tokenizer), arguments)
    save_file(projector.state_dict(), arguments.out)
    # Compare the losses over the same rows: one pass each.
    part = max(1, min(len(data) // arguments.batch_size, len(losses) // 2))
    first, last = (sum(some) / part for some in (losses[:part], losses[-part:]))
    print(f"mean loss of the first {part} steps: {first:.3f}, of the last {part}: {last:.3f}")
    print(f"The projector is in {arguments.out}")
    describe(arguments, projector, llm, tokenizer, tokenize)


class Projector(nn.Module):
    """Map embeddings (rows, dim) to vectors of the language model (rows, image_tokens, hidden)."""

    def __init__(self, dim: int, hidden: int, image_tokens: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, image_tokens * hidden))
        self.image_tokens = image_tokens

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        # The components of unit vectors are all near zero: scale them up.
        scaled = embeddings * embeddings.shape[-1] ** 0.5
        return self.layers(scaled).unflatten(-1, (self.image_tokens, -1))


def train(projector: Projector, llm: Any, data: Any, collate: Collator, arguments: argparse.Namespace) -> list[float]:
    generator = torch.Generator().manual_seed(arguments.seed)
    loader = DataLoader(
        data, arguments.batch_size, shuffle=True, drop_last=True, collate_fn=collate, generator=generator
    )
    optimizer = torch.optim.AdamW(projector.parameters(), lr=arguments.learning_rate, betas=(0.9, 0.95))
    schedule = get_cosine_schedule_with_warmup(optimizer, WARM_UP_STEPS, arguments.steps)
    losses = []
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    for step, batch in enumerate(itertools.islice(epochs, arguments.steps), 1):
        loss = llm(
            inputs_embeds=with_images(llm, projector, batch),
            attention_mask=batch["attention_mask"],
            labels=batch["labels"],
        ).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(projector.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        print(f"step {step:3} of {arguments.steps}: loss {losses[-1]:.3f}", flush=True)
    return losses


def with_images(llm: Any, projector: Projector, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    words = llm.get_input_embeddings()(batch["input_ids"])
    return place_images(words, batch["image_mask"], projector(batch["embeddings"]))


def describe(arguments: argparse.Namespace, projector: Projector, llm: Any, tokenizer: Any, tokenize: Any) -> None:
    """Describe a real picture: the encoder's image side, the set's transfer, the projector, the language model."""
    encoder_name, has_image_side = encoder_of(arguments.set)
    if not has_image_side:
        print(f"The set's encoder, {encoder_name}, has no image side, so it cannot describe a picture.")
        return
    pictures = list(PictureSource(str(arguments.images), limit=64))
    encoder = resolve_encoder(encoder_name, batch_size=32).open_images()
    images = load_transfer(arguments.set).apply_image(encoder.encode([picture.image for picture in pictures]))
    encoder.close()
    prompt = tokenize.prompt([{"from": "human", "value": QUESTION}])
    batch = {
        "input_ids": torch.from_numpy(prompt.input_ids)[None],
        "image_mask": torch.from_numpy(prompt.image_mask)[None],
        "embeddings": torch.from_numpy(images[:1]),
    }
    with torch.inference_mode():
        answer = llm.generate(
            inputs_embeds=with_images(llm, projector, batch),
            attention_mask=torch.ones_like(batch["input_ids"]),
            max_new_tokens=arguments.new_tokens,
            do_sample=False,
        )
    about = f" ({pictures[0].text})" if pictures[0].text else ""
    print(f"{pictures[0].name}{about}: {tokenizer.decode(answer[0], skip_special_tokens=True)}")


def encoder_of(name: str) -> tuple[str, bool]:
    """The set's encoder, and whether it has an image side."""
    path = Path(name) / "statistics.json"
    if not path.is_file():
        path = Path(hf_hub_download(name, "statistics.json", repo_type="dataset"))
    facts = json.loads(path.read_bytes())["representations"]
    return facts["encoder"], facts["has_image_side"]


def language_model(name: str) -> tuple[Any, Any]:
    """Load the frozen language model and its tokenizer."""
    path = demo_llm(name.removeprefix(DEMO)) if name.startswith(DEMO) else name
    llm = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval().requires_grad_(False)
    return llm, AutoTokenizer.from_pretrained(path)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="unicorn", help="a built folder, or ORG/NAME on the Hub [unicorn]")
    parser.add_argument("--config", default="pretrain", choices=["pretrain", "instruction"])
    parser.add_argument(
        "--llm", default="demo:smollm2-135m-instruct", help="a model for transformers, or demo:NAME [%(default)s]"
    )
    parser.add_argument("--rows", type=int, default=16, help="number of rows to train on, from the start [%(default)s]")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--image-tokens", type=int, default=4, help="positions per image [%(default)s]")
    parser.add_argument("--max-length", type=int, default=64, help="maximum tokens per row [%(default)s]")
    parser.add_argument("--images", type=Path, default=PICTURES, help="a folder with pictures [tests/emoji]")
    parser.add_argument("--new-tokens", type=int, default=40, help="maximum tokens of the description [%(default)s]")
    parser.add_argument("--out", type=Path, default=Path("projector.safetensors"))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    logging.set_verbosity_error()
    try:
        main()
    except UnicornError as error:
        sys.exit(f"error: {error}")
