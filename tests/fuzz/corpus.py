"""Small good files of every kind that is read, made once by the project itself: what the mutators start from."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.builders.originals import item, release
from tests.builds import write_seeds
from tests.runtime.dask_cluster import share_workers
from tests.stages import open_serial_pool
from unicorn_hf import build, load_recipe
from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.interchange.export import export
from unicorn_hf.pipeline import run
from unicorn_hf.pipeline.measure import measure_overlap
from unicorn_hf.pipeline.publish import tell_in_card
from unicorn_hf.representations.figures import Gap, GapFacts
from unicorn_hf.representations.moments import Moments
from unicorn_hf.representations.transfer_file import ImageStatistics, encoder_id, save_image_statistics
from unicorn_hf.seeds.sources.file import FileSource

ENCODER = "hashing:16"
CAPTIONS = [f"A {what} stands beside a {colour} jar, number {n}." for n, (what, colour) in enumerate(
    (what, colour) for what in ("lamp", "cup", "café table") for colour in ("red", "blue", "green"))]  # fmt: skip
_PROMPT = """\
version: mine-v1
system: You describe what can be seen.
user: "{style} Describe: {subject}"
examples:
  - {subject: a red jar, answer: A red jar of glass stands on a shelf of dark wood in the morning light.}
styles:
  length: [In one sentence., In two sentences.]
"""
_RECIPE = """\
name: mine
title: My set
partition_rows: 8
seeds:
  sources:
    - {kind: file, path: seeds.csv, column: caption, domain: rooms, license: cc0-1.0, limit: 50}
    - {kind: labels, path: labels.txt, templates: ["a photo of {label}", "{label} on a shelf"], domain: things}
  max_characters: 1000
engine: {kind: echo}
captions: {num: 8, prompt: prompt.yaml, near_duplicates: {threshold: 0.8}}
instructions: {num: 3}
representations: {encoder: "hashing:16", transfer: realign, image_statistics: image_statistics.safetensors}
cluster: {workers: 1}
price: {currency: EUR, per_worker_hour: 2.5}
"""


@contextmanager
def in_this_process() -> Iterator[None]:
    """No worker processes: jobs run here."""

    real = run.open_pool
    run.open_pool = open_serial_pool  # type: ignore[assignment]
    try:
        yield
    finally:
        run.open_pool = real


def make_corpus(folder: Path) -> None:
    """Write all base files into an empty folder; those of one kind lie in one folder each."""
    _sets(folder)
    _own(folder / "own")
    _others(folder / "others")
    for form in EXPORTS.own_names:
        export(folder / "published" / "set", form, folder / "exports" / form)
    (folder / "release").mkdir()
    for name, content in release(6, 4).items():
        (folder / "release" / name).write_bytes(content)


def _sets(folder: Path) -> None:
    """Built sets: `published/set`, which is mutated, and `published/other`, which is compared with it."""
    place = folder / "published"
    place.mkdir()
    seeds = write_seeds(folder / "seeds.txt", 40)
    images = np.random.default_rng(3).normal(size=(100, 16)) + 0.2
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    save_image_statistics(
        folder / "image_statistics.safetensors",
        ImageStatistics(Moments.of(images), ENCODER, encoder_id(ENCODER), "noise"),
    )
    recipe = {
        "seeds.sources": [
            {"kind": "file", "path": str(seeds), "name": "jars", "domain": "shelves", "license": "cc0-1.0"}
        ],
        "engine": {"kind": "echo"},
        "captions.num": 9,
        "instructions.num": 6,
        "partition_rows": 4,
        "representations.encoder": ENCODER,
        "representations.transfer": "mean_shift_to_image",
        "representations.image_statistics": str(folder / "image_statistics.safetensors"),
        "packaging.rows_per_shard": 5,
        "packaging.row_group_rows": 3,
        "price": {"currency": "EUR", "per_worker_hour": 2.5},
        "cluster.kind": share_workers(),
    }
    with in_this_process():
        build(load_recipe("demo", recipe), place / "set", work_dir=folder / "work")
        build(load_recipe("demo", recipe | {"captions.num": 5, "instructions.num": 0, "packaging.messages": True}),
              place / "other", work_dir=folder / "work")  # fmt: skip
    _measured(place / "set", folder)


def _measured(folder: Path, beside: Path) -> None:
    """Figures that `overlap` and `gap` add."""
    evaluation = beside / "evaluation.txt"
    evaluation.write_text("a jar number 3 on a shelf\nwho let the dogs out\n")
    measure_overlap(folder, FileSource(path=str(evaluation), name="evaluation"))
    side = Gap(mean_gap=0.5, cosine_to_text_mean=0.1, cosine_to_image_mean=0.2, mean_share=0.3, mmd=0.4,
                   frechet=0.5, paired_cosine=0.1)  # fmt: skip
    gap = GapFacts(images="noise", num_images=10, num_texts=9, num_pairs=3, before=side, after=side, direction_kept=0.9,
                   neighbours_kept=0.8, num_neighbours=3, picture=None)  # fmt: skip
    tell_in_card(folder, gap=gap)


def _own(folder: Path) -> None:
    """A recipe of the user's with all that it names."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(_RECIPE)
    (folder / "prompt.yaml").write_text(_PROMPT)
    (folder / "labels.txt").write_text("red jar\nwooden table\nold lamp\n")
    (folder / "image_statistics.safetensors").write_bytes((folder.parent / "image_statistics.safetensors").read_bytes())
    _tables(folder, "seeds")


def _others(folder: Path) -> None:
    """Files of captions and conversations in the forms that others write."""
    folder.mkdir()
    _tables(folder, "captions")
    choice = "What is it?\nA. a jar\nB. a cat\nC. a dog\nD. a hat"
    llava = [
        {
            "id": n,
            "image": f"{n}.jpg",
            "caption": text,
            "conversations": _turns("What is red?", "The jar.", choice, "A"),
        }
        for n, text in enumerate(CAPTIONS)
    ]
    (folder / "llava.json").write_text(json.dumps(llava, ensure_ascii=False))
    chat = [
        {"id": f"c{n}", "text": text, "task": "question_answering", "seed": "a jar", "domain": "rooms", "messages": [
            {"role": "user", "content": "What is red?"}, {"role": "assistant", "content": "The jar."}]}
        for n, text in enumerate(CAPTIONS)
    ]  # fmt: skip
    (folder / "chat.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in chat))
    pq.write_table(pa.Table.from_pylist(chat), folder / "chat.parquet")
    (folder / "texts.json").write_text(json.dumps(CAPTIONS))
    (folder / "pretrain.json").write_text(json.dumps([item(n) for n in range(5)]))


def _turns(*said: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[at % 2], "value": value} for at, value in enumerate(said)]


def _tables(folder: Path, name: str) -> None:
    """The same captions in every form of a table."""
    rows = [{"id": str(n), "caption": text, "domain": "rooms"} for n, text in enumerate(CAPTIONS)]
    (folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in CAPTIONS))
    for suffix, separator in (("csv", ","), ("tsv", "\t")):
        with (folder / f"{name}.{suffix}").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)
    (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    (folder / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False))
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
