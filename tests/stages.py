"""Stages run in this process: a pool without workers, engines that say what they are told to, and what was asked."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.generation import Answer, Encoded, Request, TextGenerator
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.engines.generators.echo import EchoGenerator
from unicorn_hf.runtime.answers import Asking, store_at
from unicorn_hf.runtime.files import rows_table, write_table
from unicorn_hf.runtime.selection import SeedShards
from unicorn_hf.runtime.work import Work
from unicorn_hf.seeds.step import prepare_seeds

Say = Callable[[Request, int], Answer | str]
"""What to answer a request, the how-many-eth it is of its row."""


class SerialPool:
    """Implements `WorkerPool` in this process; jobs are run last to first, since no order is promised."""

    def run(self, jobs: Sequence[Any], on_record: Callable[[Any], None], **how: bool) -> list[Any]:
        work, records = Work(), {}
        for position in reversed(range(len(jobs))):
            records[position] = jobs[position].find() or jobs[position].run(work)
            on_record(records[position])
        work.slot.let_go(work.terms.build)
        return [records[position] for position in range(len(jobs))]


@contextmanager
def open_serial_pool(*_: Any, **__: Any) -> Iterator[SerialPool]:
    """Stands in for `open_pool`: no worker is started."""
    yield SerialPool()


@dataclass
class Scripted:
    """A generator's spec and the generator: answers what `say` says, and keeps what it was asked."""

    say: Say
    identity: str = "scripted"
    asked: list[Request] = field(default_factory=list)
    uses_gpu: bool = False
    keeps_answers: bool = True

    def missing(self, requests: object) -> None:
        """All requests are sent."""

    def open(self) -> "Scripted":
        return self

    def close(self) -> None:
        """Nothing to give back."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for position, request in enumerate(requests):
            said = self.say(request, sum(before.id == request.id for before in self.asked))
            self.asked.append(request)
            yield position, said if isinstance(said, Answer) else Answer(said, "stop", 5, 50)


def asking(folder: Path, generator: Any, work: Work | None = None) -> Asking:
    """How a partition gets its answers, in a process that has seen nothing of the store yet."""
    store_at.cache_clear()
    return Asking(work or Work(), generator, folder, folder.with_name(f"{folder.name}.attempts"))


def answers_of(generator: TextGenerator, requests: Sequence[Request]) -> list[Answer]:
    """Answers in the order of the requests, each request answered once."""
    answers = dict(generator.generate(requests))
    assert len(answers) == len(requests)
    return [answers[position] for position in range(len(requests))]


def echo(request: Request, time: int) -> Answer:
    """What the rehearsal's engine says."""
    return answers_of(EchoGenerator(), [request])[0]


@dataclass
class TableEncoder:
    """An encoder's choice and the encoder: each text's vector is looked up, or made of its length."""

    dim: int = 4
    text_identity: str = "table"
    uses_gpu: bool = False
    encoded: list[str] = field(default_factory=list)

    def open(self) -> "TableEncoder":
        return self

    def close(self) -> None:
        """Nothing to give back."""

    def encode(self, texts: Sequence[str], on_texts: Callable[[int], None] = lambda _: None) -> Encoded:
        self.encoded += texts
        on_texts(len(texts))
        return Encoded(np.stack([vector_of(text, self.dim) for text in texts]), sum(len(text) % 2 for text in texts))


def vector_of(text: str, dim: int) -> NDArray[np.float32]:
    """A unit vector of the text's own."""
    rng = np.random.default_rng(np.frombuffer(text.encode().ljust(8, b" "), dtype=np.uint8))
    vector = rng.normal(size=dim) + 0.5
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def recipe_of(
    seeds: Path, *, captions: int = 20, instructions: int = 8, partition_rows: int = 8, **more: Any
) -> Recipe:
    """A small recipe over a file of seeds; `more` are dotted keys with two underscores for the dot."""
    data: dict[str, Any] = {
        "seeds": {"sources": [{"kind": "file", "path": str(seeds)}]},
        "engine": {"kind": "echo"},
        "captions": {"num": captions, "prompt": "caption-v1-short"},
        "instructions": {"num": instructions},
        "representations": {"encoder": "hashing:8"},
        "partition_rows": partition_rows,
    }
    for key, value in more.items():
        section, _, name = key.partition("__")
        data[section] = {**data.get(section, {}), name: value} if name else value
    return Recipe.model_validate(data)


def seeds_file(folder: Path, number: int) -> Path:
    path = folder / "seeds.txt"
    path.write_text("\n".join(f"seed number {index}" for index in range(number)))
    return path


def seed_shards(recipe: Recipe, work_dir: Path) -> SeedShards:
    assert all(source.kind == "file" for source in recipe.seeds.sources)
    return prepare_seeds(recipe, work_dir)[0]


def read_source(source: SeedSource, random_seed: int = 0) -> list[str]:
    """The source's seeds."""
    return list(source.read(random_seed, ReadingNotes()))


def captions_of(folder: Path, partition: str, number: int) -> tuple[Path, list[dict[str, object]]]:
    """A shard of captions, and its rows."""
    rows: list[dict[str, object]] = [
        {
            "id": f"{partition}-{index}",
            "caption": f"Caption {index} of {partition}{'.' * (index % 3)}",
            "digest": index,
            "seed": "s",
            "source": "f",
            "domain": "d",
        }
        for index in range(number)
    ]
    path = folder / f"{partition}.captions.parquet"
    write_table(path, rows_table(rows, CAPTIONS), CAPTIONS)
    return path, rows


def rejections(folder: Path) -> list[dict[str, str]]:
    """All rejections that are stored below a work folder."""
    import pyarrow.parquet as pq

    return [row for path in sorted(folder.rglob("*.rejections.parquet")) for row in pq.read_table(path).to_pylist()]


def pairs_of(*pairs: tuple[str, str]) -> str:
    """An answer with these questions and answers."""
    return json.dumps({"pairs": [{"question": question, "answer": answer} for question, answer in pairs]})
