"""Trains a vision-language model on a set, in two stages, with the Trainer of transformers.

    python examples/train_vlm.py --stage 1 --set unicorn --llm Qwen/Qwen2.5-0.5B-Instruct --output_dir stage-1
    python examples/train_vlm.py --stage 2 --set unicorn --model stage-1 --output_dir model
    python examples/ask.py model picture.png "What is this?"

Stage 1 trains the projector alone on captions (`pretrain`). Stage 2 trains the projector and adapters of the language
model, or all of its weights, on conversations (`instruction`). The learning rates are the paper's. If a run stops, run
the same command again: it resumes from the last checkpoint.

The program also takes the options of TrainingArguments. On eight GPUs:

    torchrun --nproc_per_node 8 examples/train_vlm.py --stage 1 ...
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import HfArgumentParser, Trainer, TrainerCallback, TrainingArguments

from unicorn_hf import UnicornError
from unicorn_hf.torch import Collator, ConversationTokenizer, UnicornDataset, UnicornIterableDataset
from unicorn_hf.vlm import UnicornForConditionalGeneration

CONFIGS = {1: "pretrain", 2: "instruction"}
RATES = {1: 5e-4, 2: 1e-5}
HAS_BF16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def about(text: str, default: Any = None, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


@dataclass
class Options:
    stage: int = about("1: the projector alone, on captions; 2: on conversations", 1, choices=[1, 2])
    set: str = about("a built folder, or ORG/NAME on the Hub", "unicorn")
    llm: str = about("start from this language model: a Hub name, a folder, or demo:NAME", "demo:smollm2-135m-instruct")
    model: str | None = about("continue with this model instead: a folder that this program wrote, or ORG/NAME")
    lora: int = about("stage 2: rank of the language model's adapters; 0 trains all of its weights", 128)
    image_tokens: int = about("positions of an image; the original trainer has 576", 4)
    image_vectors: int | None = about("1 repeats one vector at all positions, as the original trainer does")
    image_statistics: str | None = about("a file of `unicorn-hf calibrate`, for a set that was built without one")
    max_length: int = about("maximum tokens of a row; longer ones are cut, or skipped if no answer is left", 2048)
    noise: float | None = about("norm of the noise that is added to each vector; default: that of the transfer")
    streaming: bool = about("read the set as a stream, without a download; requires --max_steps", False)
    sample_steps: int = about("steps between logged answers of the model; 0: never", 100)


@dataclass
class Training(TrainingArguments):
    """The defaults that differ from those of transformers."""

    output_dir: str = field(default="model", metadata={"help": "folder of the model and its checkpoints"})
    learning_rate: float | None = field(default=None, metadata={"help": "default: 5e-4 in stage 1, 1e-5 in stage 2"})
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = 0.03  # of all steps
    num_train_epochs: float = 1.0
    per_device_train_batch_size: int = 8
    bf16: bool = HAS_BF16
    gradient_checkpointing: bool = HAS_BF16
    logging_steps: float = 10
    save_total_limit: int = 2
    remove_unused_columns: bool = False


def main() -> None:
    options, training = HfArgumentParser((Options, Training)).parse_args_into_dataclasses()
    training.learning_rate = training.learning_rate or RATES[options.stage]
    # Processes get different rows of a stream, of which each makes its own batches.
    training.accelerator_config.dispatch_batches = False
    torch.manual_seed(training.seed)
    model = opened(options)
    tokenize = model.conversation_tokenizer(options.max_length)
    rows = loaded(options, training, tokenize)
    noise = model.transfer.train_noise if options.noise is None else options.noise
    data = (UnicornIterableDataset if options.streaming else UnicornDataset)(rows, tokenize, noise=noise)
    trainer = Trainer(
        model=with_adapters(model, options),
        args=training,
        train_dataset=data,
        data_collator=Collator(model.tokenizer),
        callbacks=[samples := Samples(model, rows, options.sample_steps)],
    )
    samples.log = trainer.log
    trainer.train(resume_from_checkpoint=last_checkpoint(training.output_dir))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model.config.training.append(
        {
            "stage": options.stage,
            "trained": trained(options),
            "set": model.config.datasets[-1],
            "rows": CONFIGS[options.stage],
            "steps": trainer.state.global_step,
            "rows per step": training.train_batch_size * training.gradient_accumulation_steps * training.world_size,
            "learning rate": training.learning_rate,
            "noise": noise,
            "last loss": round(losses[-1], 4) if losses else "",
        }
    )
    saved(trainer, model, training.output_dir)


def opened(options: Options) -> UnicornForConditionalGeneration:
    """A new model, or the model of an earlier stage."""
    # A step of 1e-5 is lost in the rounding of bfloat16. What is not trained keeps the type that it was stored in.
    dtype = torch.float32 if options.stage == 2 and not options.lora else "auto"
    if options.model:
        model = UnicornForConditionalGeneration.from_pretrained(options.model, dtype=dtype)
        model.add_dataset(options.set)
    else:
        places = {"image_tokens": options.image_tokens, "image_vectors": options.image_vectors}
        model = UnicornForConditionalGeneration.from_language_model(options.llm, options.set, **places, dtype=dtype)
    if options.image_statistics:
        model.add_image_statistics(options.image_statistics)
    return model


def loaded(options: Options, training: Training, tokenize: ConversationTokenizer) -> Any:
    """The rows that `max_length` leaves an answer in."""
    try:
        rows = load_dataset(options.set, CONFIGS[options.stage], split="train", streaming=options.streaming)
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot load the set {options.set}: {error}")
    if options.streaming:
        return rows.shuffle(seed=training.seed).filter(tokenize.fits, input_columns="conversations")
    # The other processes then find the result in the cache.
    with training.main_process_first(desc="rows that fit"):
        return rows.filter(tokenize.fits, input_columns="conversations")


def with_adapters(model: UnicornForConditionalGeneration, options: Options) -> Any:
    """Freeze what is not trained; in stage 2, put adapters into the language model."""
    if options.stage == 2 and options.lora:
        adapters = LoraConfig(
            r=options.lora,
            lora_alpha=2 * options.lora,
            lora_dropout=0.05,
            target_modules="all-linear",
            exclude_modules=r"projector\..*",
            modules_to_save=["projector"],
        )
        return get_peft_model(model, adapters)
    model.language_model.requires_grad_(options.stage == 2)
    return model


def trained(options: Options) -> str:
    if options.stage == 1:
        return "the projector"
    return f"the projector, and adapters of rank {options.lora}" if options.lora else "all weights"


class Samples(TrainerCallback):
    """Logs what the model answers to the first row's question, as Trainer logs the loss."""

    def __init__(self, model: UnicornForConditionalGeneration, rows: Any, every: int) -> None:
        self.model, self.every, self.log = model, every, print
        row = next(iter(rows))
        self.question, self.expected = (turn["value"] for turn in row["conversations"][:2])
        self.vector = torch.tensor(row["image_embedding"])[None]

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **rest: Any) -> None:
        is_due = self.every and state.global_step % self.every < state.logging_steps
        if "loss" not in logs or not is_due or not state.is_world_process_zero:
            return
        self.model.eval()
        [answer] = self.model.answer_vectors(self.vector, [self.question], max_new_tokens=40)
        self.model.train()
        self.log({"question": self.question, "answer": answer, "expected": self.expected})


def last_checkpoint(folder: str) -> str | None:
    """The last checkpoint that is whole: its trainer_state.json is written last."""
    found = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


def saved(trainer: Trainer, model: UnicornForConditionalGeneration, folder: str) -> None:
    """Save the model, with the adapters merged into it: a folder for `from_pretrained`."""
    if trainer.model is model:
        trainer.save_model(folder)
    elif trainer.is_world_process_zero():
        trainer.model.merge_and_unload().save_pretrained(folder)


if __name__ == "__main__":
    try:
        main()
    except UnicornError as error:
        sys.exit(f"error: {error}")
