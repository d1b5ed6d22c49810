"""What the encode step costs beside its model: captions to vectors on disk, against the bare model on ready tokens.

    python benchmarks/encoding.py [--encoder open_clip:demo:minilm] [--captions 2048] [--batch-size 64] [--repeats 3]
    python benchmarks/encoding.py --shape ViT-L-14

Compared are, in one process and on whatever device there is,

- reference: the bare text tower over the same rows of token ids, made beforehand, in the same batches;
- ours: the job of the encode step: captions read from their shard, tokenised, encoded, moments taken, vectors written.

Printed are captions/s of both and their ratio, by the clock and by processor time, which other work on the machine
moves less. The repeats take turns and the best of each counts. Captions are put together from the words of the seeds
that ship with the library, of 40 to 200 words. `--shape` takes a model of open_clip with random weights, which need no
network.
"""

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unicorn_hf.core.encoder import EncoderChoice, resolve_encoder
from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.representations.step import CODE, STAGE, EncodeJob
from unicorn_hf.runtime.files import write_table
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import Step
from unicorn_hf.runtime.work import Work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="open_clip:demo:minilm")
    parser.add_argument("--shape", metavar="MODEL", help="instead of --encoder: a model of open_clip, random weights")
    parser.add_argument("--long-captions", choices=("truncate", "chunk"), default="truncate")
    parser.add_argument("--captions", type=int, default=2048)
    parser.add_argument("--partition-rows", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(random_encoder(options.shape, folder) if options.shape else options.encoder, folder, options)


def measure(name: str, folder: Path, options: argparse.Namespace) -> None:
    choice = resolve_encoder(name, options.batch_size, options.long_captions)
    work = Work()
    with work.engine(choice.text_identity, choice.open) as opened:
        encoder: Any = opened
    texts = captions(options.captions)
    partitions = [
        texts[start : start + options.partition_rows] for start in range(0, len(texts), options.partition_rows)
    ]
    batches = [batch for partition in partitions for batch in ready(encoder, partition, options.batch_size)]
    jobs = [job(folder, number, partition, choice) for number, partition in enumerate(partitions)]
    times = [
        (timed(lambda: bare(encoder, batches)), timed(lambda: [one.run(work) for one in jobs]))
        for _ in range(options.repeats)
    ]
    reference, ours = (np.min(each, axis=0) for each in zip(*times, strict=True))
    print(
        f"{device()}, {choice.name}, {options.long_captions}, {len(texts):,} captions, batches of {options.batch_size}"
    )
    print(f"reference{len(texts) / reference[0]:>12,.1f} captions/s")
    print(f"ours     {len(texts) / ours[0]:>12,.1f} captions/s")
    print(
        f"ours / reference, by the clock {reference[0] / ours[0]:.3f}, by processor time {reference[1] / ours[1]:.3f}"
    )


def random_encoder(model: str, folder: Path) -> str:
    import open_clip
    import torch

    weights = folder / "random.pt"
    torch.save(open_clip.create_model(model).state_dict(), weights)
    return f"open_clip:{model}/{weights}"


def captions(number: int) -> list[str]:
    seeds = Path(__file__).parents[1] / "unicorn_hf" / "seeds" / "data" / "parti_prompts_sample.tsv"
    with seeds.open(encoding="utf-8") as file:
        sentences = [row[0].rstrip(".") for row in csv.reader(file, delimiter="\t")][1:]
    rng = random.Random(0)
    made = []
    for _ in range(number):
        length, parts = rng.randint(40, 200), list[str]()
        while sum(len(part.split()) for part in parts) < length:
            parts.append(rng.choice(sentences).capitalize() + ".")
        made.append(" ".join(parts))
    return made


def ready(encoder: Any, texts: list[str], batch_size: int) -> list[tuple[Any, Any]]:
    """Rows of token ids and their masks on the device, in the batches that the encoder takes."""
    import torch

    tower, frame = encoder._tower, encoder._tokens.frame
    made = []
    order = np.argsort([len(text) for text in texts], kind="stable")
    for start in range(0, len(texts), batch_size):
        rows = encoder._rows([texts[place] for place in order[start : start + batch_size]])
        lengths = frame.lengths(rows.contents)
        places = np.argsort(lengths, kind="stable")
        for first in range(0, len(places), batch_size):
            here = places[first : first + batch_size]
            ids = torch.from_numpy(frame.rows([rows.contents[place] for place in here]))
            mask = torch.arange(ids.shape[1]) < torch.from_numpy(lengths[here])[:, None]
            made.append((ids.to(tower.device), mask.to(tower.device)))
    return made


def bare(encoder: Any, batches: list[tuple[Any, Any]]) -> None:
    import torch

    with torch.inference_mode():
        for ids, mask in batches:
            encoder._tower.features(ids, mask)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def job(folder: Path, number: int, texts: list[str], choice: EncoderChoice) -> EncodeJob:
    path = folder / f"{number:05d}.captions.parquet"
    rows = [
        {"id": f"{number}-{row}", "caption": text, "digest": row, "seed": "", "source": "", "domain": "benchmark"}
        for row, text in enumerate(texts)
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=CAPTIONS), CAPTIONS)
    picked = Picked(partition=f"{number:05d}", path=path, content="", rows=tuple(range(len(texts))))
    return EncodeJob(
        step=Step.of(folder, STAGE, choice.text_identity, CODE),
        partition=picked.partition,
        inputs=picked.identity,
        label=STAGE,
        captions=picked,
        encoder=choice,
    )


def device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process on all cores."""
    started, cpu_started = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - started, time.process_time() - cpu_started


if __name__ == "__main__":
    main()
